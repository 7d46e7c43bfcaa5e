"""Results as a page of markdown: the summary first, a row for every model last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spa_onnx.bench.columns import COLUMNS, megabytes, seconds
from spa_onnx.bench.markdown import escaped, table
from spa_onnx.bench.peers import SUMMARY, Peers, cell
from spa_onnx.bench.peers import summary as peer_summary
from spa_onnx.bench.result import Result
from spa_onnx.bench.rows import USUAL, Row, count, middle, percent
from spa_onnx.bench.zoo import Absent
from spa_onnx.report.make import NO_POWER

HOLD = "parameters in weights held by"
"""Title of the measured reasons."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a table is about.

    Attributes:
        command: that makes it again.
        versions: of what ran.
        ratio: share of every dim that goes.
        proved: whether the proof was on.
        absent: families that were not made.
        peers: results of other tools.
    """

    command: str
    versions: str
    ratio: float
    proved: bool
    absent: tuple[Absent, ...]
    peers: Peers

    @property
    def verb(self) -> str:
        """Say what a good result is."""
        return "pruned and proved" if self.proved else "pruned"


def render(page: Page, by_pass: dict[str, list[Row]]) -> str:
    """Return the whole page; several importance passes have a part each."""
    lines = [
        "# Coverage",
        "",
        f"    {page.command}",
        "",
        f"{page.versions}. Ratio {page.ratio:g}. Seconds are those of one "
        "run on a machine that may have had other work.",
    ]
    for name, rows in by_pass.items():
        if len(by_pass) > 1:
            lines += ["", f"# Importance {name}"]
        for part in PARTS:
            lines += _part(part, page, rows)
    return "\n".join(lines) + "\n"


def _part(part: Part, page: Page, rows: Sequence[Row]) -> Iterator[str]:
    body = list(part.body(page, rows))
    if body:
        yield from ("", f"## {part.title}", "", *body)


# -- parts of the page --------------------------------------------------------------------------


def _summary(page: Page, rows: Sequence[Row]) -> Iterator[str]:
    counts = count(rows)
    results = [row.result for row in rows if row.result is not None]
    low = [row for row in rows if row.low]
    unexplained = sum(not row.entry.reason for row in low)
    unproved = 0 if page.proved else counts.pruned
    facts = [
        ("models listed", f"{counts.listed}"),
        ("exported", f"{counts.exported}"),
        ("of these, loaded by ONNX Runtime", f"{counts.loaded}"),
        (f"of these, {page.verb}", f"{counts.pruned} ({_share(counts.pruned, counts.loaded)})"),
        ("files written", f"{counts.written}"),
        (
            "of these, invalid or unproved",
            f"{counts.bad + unproved} ({counts.bad} invalid, {unproved} unproved)",
        ),
        ("proof failed, nothing written", f"{_ended(results, 'failed proof')}"),
        *(
            (outcome, f"{_ended(results, outcome)}")
            for outcome in ("refused", "crash", "timeout", "out of memory")
        ),
        ("valid by loading alone, no inputs could be made up", f"{_not_run(results)}"),
        (f"proof with power below {NO_POWER:g}, which shows little", f"{_powerless(results)}"),
        ("with outputs that the proof could not compare", f"{_uncompared(results)}"),
        ("parameters removed, median", percent(counts.removed)),
        ("analyse + rewrite, median", seconds(counts.compile_seconds)),
        ("proof, median", seconds(counts.proof_seconds)),
        ("peak memory before the proof, median", megabytes(_compilers(results))),
        (
            f"less than {percent(USUAL, 0)} removed",
            f"{len(low)} ({unexplained} without a written reason)",
        ),
        ("below expectation", f"{sum(bool(row.shortfall) for row in rows)}"),
    ]
    yield from table(("", ""), facts)
    for absent in page.absent:
        yield ""
        yield f"Not made: {escaped(absent.family)} ({escaped(absent.why)})."


def _below(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.shortfall]
    if found:
        lines = [
            [row.entry.name, row.shortfall, percent(row.removed), row.error or row.reasons(2)]
            for row in found
        ]
        yield from table(("model", "below expectation", "removed", "measured"), lines)


def _low(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = sorted((row for row in rows if row.low), key=lambda row: row.removed or 0.0)
    if found:
        lines = [
            [
                row.entry.name,
                percent(row.removed),
                percent(row.entry.least or None),
                row.entry.reason or "none written",
                row.reasons(2),
            ]
            for row in found
        ]
        titles = (
            "model",
            "removed",
            "expected",
            "written reason",
            "measured: parameters in weights held by",
        )
        yield from table(titles, lines)


def _better(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.better]
    if found:
        lines = [
            [row.entry.name, percent(row.removed), row.entry.reason or row.entry.refusal]
            for row in found
        ]
        yield from table(("model", "removed", "reason that no longer holds"), lines)


def _failed(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.loads and not row.pruned]
    if found:
        lines = [
            [
                row.entry.name,
                row.result.outcome if row.result else "",
                "no" if row.shortfall else "yes",
                row.error,
            ]
            for row in found
        ]
        yield from table(("model", "outcome", "expected", "why"), lines)


def _unloadable(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.result is not None and not row.loads]
    if found:
        lines = [
            [row.entry.name, row.result.outcome if row.result else "", row.error] for row in found
        ]
        yield from table(("model", "outcome", "what ONNX Runtime says"), lines)


def _unexported(_page: Page, rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.result is None]
    if found:
        lines = [[row.entry.name, row.entry.exporter, row.entry.failure] for row in found]
        yield from table(("model", "exporter", "why"), lines)


def _families(page: Page, rows: Sequence[Row]) -> Iterator[str]:
    families = dict.fromkeys(row.entry.family for row in rows)
    lines = []
    for family in families:
        counts = count([row for row in rows if row.entry.family == family])
        lines.append(
            [
                family,
                f"{counts.exported} of {counts.listed}",
                f"{counts.loaded}",
                f"{counts.pruned} ({_share(counts.pruned, counts.loaded)})",
                percent(counts.removed),
                percent(counts.least),
                seconds(counts.compile_seconds),
                seconds(counts.proof_seconds),
            ]
        )
    titles = ("family", "exported", "loaded", page.verb, "removed, median", "least")
    yield from table((*titles, "analyse + rewrite", "proof"), lines, 1)


def _peers(page: Page, rows: Sequence[Row]) -> Iterator[str]:
    if page.peers:
        yield from table(SUMMARY, peer_summary(page.peers, rows), 1)
        yield ""
        yield (
            "Valid: ONNX Runtime loads and runs the result. The last columns are about the models "
            "where both are valid; our seconds are analysis and rewriting."
        )


def _models(page: Page, rows: Sequence[Row]) -> Iterator[str]:
    columns = [c for c in COLUMNS if page.proved or not c.proof]
    titles = [*(column.title for column in columns), *page.peers, HOLD]
    lines = []
    for row in rows:
        if row.result is None:
            continue
        beside = [cell(results.get(row.entry.name)) for results in page.peers.values()]
        own = [column.text(row.result) for column in columns[1:]]
        lines.append([row.entry.name, *own, *beside, row.reasons(1)])
    yield from table(titles, lines, 2)


@dataclass(frozen=True, slots=True)
class Part:
    """A section; one without lines is left out."""

    title: str
    body: Callable[[Page, Sequence[Row]], Iterator[str]]


PARTS = (
    Part("Summary", _summary),
    Part("Below expectation", _below),
    Part(f"Less than {percent(USUAL, 0)} removed", _low),
    Part("Better than expected", _better),
    Part("Not pruned", _failed),
    Part("Not loaded by ONNX Runtime", _unloadable),
    Part("By family", _families),
    Part("Other tools on the same models", _peers),
    Part("Every model", _models),
    Part("Not exported", _unexported),
)


def _share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else "-"


def _ended(results: Sequence[Result], outcome: str) -> int:
    return sum(result.outcome == outcome for result in results)


def _not_run(results: Sequence[Result]) -> int:
    return sum(
        result.removed is not None
        and result.facts.result is not None
        and not result.facts.result.runs
        for result in results
    )


def _powerless(results: Sequence[Result]) -> int:
    powers = [r.facts.pruned.power for r in results if r.facts.pruned and r.removed is not None]
    return sum(power is not None and power < NO_POWER for power in powers)


def _uncompared(results: Sequence[Result]) -> int:
    return sum(bool(r.facts.pruned and r.facts.pruned.uncompared) for r in results)


def _compilers(results: Sequence[Result]) -> float | None:
    return middle(r.facts.memory.compiler for r in results if r.facts.memory)
