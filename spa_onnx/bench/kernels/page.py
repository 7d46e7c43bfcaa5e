"""Rows and means as tables: on a terminal and in markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from spa_onnx.bench.kernels.cases import Row
from spa_onnx.bench.kernels.means import Mean, means
from spa_onnx.bench.kernels.measure import Bench
from spa_onnx.bench.kernels.roofline import Roofline
from spa_onnx.bench.kernels.timing import GIGA
from spa_onnx.bench.markdown import table

MICRO = 1e6

TITLES = ("group", "pattern", "zeros", "layer", "packed as", "us", "dense us", "dense layout",
          "ratio", "GFLOP/s stored", "GFLOP/s as dense", "of roofline")  # fmt: skip
WORDS = 5
"""Columns before the first number."""
EXPLANATION = (
    "Ratio: time of the runtime's fastest layout over ours, median over rounds. GFLOP/s: "
    "operations on weights that are stored, and those that a dense layer would need, over our "
    "time. Roofline: the least time that the operations at the peak or the bytes at the bandwidth "
    "allow, over ours."
)
MEANS = "Geometric means of the ratios over the layers of a group (least-greatest)."


@dataclass(frozen=True, slots=True)
class Page:
    """What a page says beside the numbers.

    Attributes:
        command: that makes it.
        versions: of what ran.
        machine: in a few words.
    """

    command: str
    versions: str
    machine: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows as text.

    Attributes:
        titles: of the columns.
        words: columns in front of the first number.
        lines: a text for every column.
        explanation: what the columns are.
        means: of the rows.
    """

    titles: Sequence[str]
    words: int
    lines: Sequence[Sequence[str]]
    explanation: str
    means: Sequence[Mean]


def sheet(rows: Sequence[Row]) -> Sheet:
    """Return what is shown of rows."""
    return Sheet(TITLES, WORDS, [cells(row) for row in rows], EXPLANATION, means(rows))


def cells(row: Row) -> list[str]:
    """Return what the table says of a layer."""
    found = row.timing
    return [
        row.case.group.name,
        found.pattern,
        percent(found.sparsity),
        str(found.layer),
        str(found.form),
        f"{MICRO * found.sparse:.1f}",
        f"{MICRO * found.dense[found.way]:.1f}",
        found.way,
        f"{found.ratio:.2f}",
        f"{found.stored_rate:.1f}",
        f"{found.dense_equivalent_rate:.1f}",
        f"{100 * row.roofline:.0f} %",
    ]


def sentence(row: Row) -> str:
    """Return a layer in one line."""
    found = row.timing
    return (
        f"{row.case}: {MICRO * found.sparse:.1f} us, dense {MICRO * found.dense[found.way]:.1f} us "
        f"({found.way}), {found.ratio:.2f}x, {found.stored_rate:.0f} GFLOP/s stored, "
        f"{found.dense_equivalent_rate:.0f} as dense, {100 * row.roofline:.0f} % of roofline "
        f"[{found.form}]"
    )


def percent(share: float) -> str:
    """Return a share in words."""
    return f"{100 * share:g} %"


def pivoted(found: Sequence[Mean]) -> tuple[list[str], list[list[str]]]:
    """Return titles and lines of means, a column for every share of zeros."""
    shares = sorted({mean.sparsity for mean in found})
    by_key = {(m.group, m.pattern, m.sparsity): m for m in found}
    lines = []
    for group, pattern in dict.fromkeys((m.group, m.pattern) for m in found):
        chosen = [by_key.get((group, pattern, share)) for share in shares]
        layers = max(len(mean.ratios) for mean in chosen if mean)
        lines.append([group, pattern, str(layers), *(str(mean or "") for mean in chosen)])
    return ["group", "pattern", "layers", *map(percent, shares)], lines


def print_sheet(console: Console, shown: Sheet, how: str) -> None:
    """Print a line for every layer, and the means; a narrow window wraps lines, not columns."""
    console.print(aligned(shown.titles, shown.lines, shown.words), soft_wrap=True)
    console.print(f"\n{shown.explanation}\n")
    titles, lines = pivoted(shown.means)
    console.print(aligned(titles, lines, 2), soft_wrap=True)
    console.print(f"\n{MEANS} {how}")


def aligned(titles: Sequence[str], lines: Sequence[Sequence[str]], words: int) -> str:
    """Return a table of text whose columns are as wide as they need, numbers to the right."""
    table_of = [titles, *lines]
    widths = [max(map(len, column)) for column in zip(*table_of, strict=True)]
    return "\n".join(
        "  ".join(
            text.rjust(width) if k >= words else text.ljust(width)
            for k, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table_of
    )


def markdown(page: Page, shown: Sheet, how: str) -> str:
    """Return the means and all layers as a page."""
    lines = ["# Sparse kernels", "", f"    {page.command}", ""]
    lines += [f"{page.versions}. {page.machine}.", "", how, "", "## Means", "", MEANS, ""]
    titles, means_of = pivoted(shown.means)
    lines += table(titles, means_of, right=2)
    lines += ["", "## Layers", "", shown.explanation, ""]
    return "\n".join([*lines, *table(shown.titles, shown.lines, right=shown.words)]) + "\n"


def how_measured(bench: Bench, roofline: Roofline) -> str:
    """Say how times were taken and what the machine can do."""
    alone = bench.threads == 1
    clock = "CPU time of the one thread" if alone else f"{bench.threads} threads, wall-clock time"
    values = ", values stored as float16" if bench.half else ""
    reads = [f"{roofline.bandwidths[size] / GIGA:.1f} GB/s from {size} MiB"
             for size in sorted(roofline.bandwidths)]  # fmt: skip
    return (
        f"{clock[0].upper()}{clock[1:]}, {bench.rounds} rounds in turns{values}. Measured in the "
        f"same run: {roofline.peak / GIGA:.0f} GFLOP/s in a dense product"
        + "".join(f", {read}" for read in reads)
        + "."
    )
