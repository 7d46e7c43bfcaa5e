"""The report of a run for people: before and after, the proof, what was cut and what stayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from spa_onnx.report.causes import CauseGroup, group_causes
from spa_onnx.report.proof import proof_line
from spa_onnx.report.report import DimReport, LatencyReport, PruneReport, Refusal, RepairReport
from spa_onnx.report.words import count, milliseconds, share, short, size, some, weight_axes

WORTH_SAYING = 0.01
"""Share of the parameters from which on a second reason for fixed axes is told."""


@dataclass(frozen=True, slots=True)
class FileSizes:
    """Where the result lies, and bytes of both models with their weights."""

    output: str
    before: int
    after: int


def print_run(console: Console, report: PruneReport, files: FileSizes) -> None:
    """Print the summary of a run."""
    console.print(_size_table(report, files))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, text in _facts(report, files):
        facts.add_row(title, text)
    console.print(facts)


def _size_table(report: PruneReport, files: FileSizes) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for title in ("before", "after", "kept"):
        table.add_column(title, justify="right", no_wrap=True)
    before, after = report.before, report.after
    rows = (
        ("parameters", before.parameters, after.parameters, "{:,}".format),
        ("operations", before.operations, after.operations, short),
        ("weights", before.bytes, after.bytes, size),
        ("file", files.before, files.after, size),
    )
    for title, old, new, show in rows:
        table.add_row(title, show(old), show(new), share(new, old))
    return table


def _facts(report: PruneReport, files: FileSizes) -> Iterator[tuple[str, str]]:
    yield "cut", _cut(report.dims)
    if report.proof is not None:
        yield "proof", proof_line(report.proof)
    if report.latency is not None:
        yield "latency", latency_line(report.latency)
    if report.repair is not None:
        yield "repair", _repair(report.repair)
        if report.repair.left:
            yield "as cut", _left(report.repair)
    for text in main_refusals(report.refusals, report.before.parameters):
        yield "fixed", text
    for operator, nodes in report.unknown_operators.items():
        yield "no rule", f"{operator}, {count(nodes, 'node')}: pruning stops there"
    for note in report.notes:
        yield "note", note
    slowest = max(report.seconds, key=lambda stage: report.seconds[stage], default="")
    total = sum(report.seconds.values())
    yield "time", f"{total:.2f} s, of that {slowest} {report.seconds.get(slowest, 0.0):.2f} s"
    yield "wrote", files.output


def _repair(repair: RepairReport) -> str:
    inputs = f"{count(repair.samples, 'input')} ({repair.origin})"
    layers = count(repair.layers, "layer")
    products = f" and {count(repair.products, 'product')} of activations" if repair.products else ""
    done = f"{layers}{products} refitted" if repair.layers else "none; compared"
    was = "" if repair.before == repair.after else f"{repair.before:.2g} -> "
    other = "" if repair.plain is None else f" (of plain L2: {repair.plain:.2g})"
    return (
        f"{done} on {inputs}: squared distance of the outputs to the original's "
        f"{was}{repair.after:.2g} of their variance{other}"
    )


def _left(repair: RepairReport) -> str:
    total = sum(part.count for part in repair.left)
    parts = (f"{part.count} {part.operator} ({part.reason})" for part in repair.left)
    return f"{count(total, 'layer')} without repair: {', '.join(parts)}"


def latency_line(latency: LatencyReport) -> str:
    """Return target and measured times in a sentence."""
    inputs = ", ".join(f"{name} {list(shape)}" for name, shape in latency.shapes.items())
    return (
        f"{milliseconds(latency.dense)} -> {milliseconds(latency.measured)} "
        f"({latency.ratio:.1%}), {milliseconds(latency.target)} asked for, "
        f"{milliseconds(latency.estimated)} estimated; medians of {count(latency.runs, 'run')} in "
        f"turns on {count(latency.threads, 'thread')}, half of them within {latency.spread:.1%}; "
        f"inputs {inputs}"
    )


def _cut(dims: Sequence[DimReport]) -> str:
    cut = [d for d in dims if d.after < d.before]
    uneven = sum(d.uneven for d in cut)
    text = f"{len(cut)} of {count(len(dims), 'prunable dim')}"
    if not cut:
        return f"{text}; the model is unchanged"
    lanes = f"{sum(d.before for d in cut):,} lanes became {sum(d.after for d in cut):,}"
    rows = f", {uneven} with different lanes in every row" if uneven else ""
    return f"{text}{rows}; {lanes}"


def main_refusals(refusals: Sequence[Refusal], parameters: int) -> list[str]:
    """Return one or two reasons that keep most parameters whole; not those nobody can change."""
    groups = [g for g in group_causes(refusals) if not g.unavoidable]
    second = [g for g in groups[1:2] if g.parameters >= WORTH_SAYING * parameters]
    return [_refusal(g) for g in (*groups[:1], *second)]


def _refusal(group: CauseGroup) -> str:
    reason = group.kinds[0][1] if group.kinds else "no reason was recorded"
    axes = f"{weight_axes(len(group.axes))} ({short(group.parameters)} parameters)"
    return f"{axes} by {some(group.nodes, 1)}: {reason}"
