"""What was lowered and why the rest was not, as JSON and for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from spa_onnx.lower.config import Target
from spa_onnx.lower.layer import Refusal
from spa_onnx.report.words import count, milliseconds, size

VERSION = 1


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One product with a stored weight.

    Attributes:
        node: its label.
        kind: linear, conv or depthwise.
        shape: of its weight as a matrix.
        zeros: share of zeros in it; None for a depthwise one, where they do not count.
        packing: how its weight is stored; "" where it stays dense.
        dense: microseconds of the runtime's own kernel; None where it was not measured.
        packed: microseconds with the best packing; None likewise.
        reason: why it stays dense; "" where it does not.
    """

    node: str
    kind: str
    shape: tuple[int, int]
    zeros: float | None
    packing: str
    dense: float | None = None
    packed: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelTimes:
    """Seconds of whole models, measured in turns.

    Attributes:
        dense: of the original, the median.
        lowered: of the result; the ratio times that of the original.
        ratio: of the result to the original, the median of the pairs' ratios.
        error: standard error of the ratio, as a share of it.
        what: which layers were lowered in it.
    """

    dense: float
    lowered: float
    ratio: float
    error: float
    what: str


@dataclass(frozen=True, slots=True)
class LowerReport:
    """What became of a model.

    Attributes:
        layers: products with stored weights, in the order of the graph.
        refusals: other products, and why they stay.
        times: of models that were measured; the last one is the result's.
        difference: of the result to the original on the inputs that were run, in shares of an
            output's scale; of one of 16 bits to what it computes in float32. None where it was not
            compared.
        tolerance: of that.
        threads: that a node may use.
        shapes: of the inputs that were run.
        measured: layers that were measured in this run; others were in the table.
        bytes: of the weights before and after.
        notes: for the reader.
        seconds: of each stage.
        target: what the model was lowered for.
        device: the GPU that times are of; "" for the processor, and where there was none.
    """

    layers: tuple[LayerReport, ...]
    refusals: tuple[Refusal, ...]
    times: tuple[ModelTimes, ...]
    difference: float | None
    tolerance: float | None
    threads: int
    shapes: Mapping[str, tuple[int, ...]]
    measured: int
    bytes: tuple[int, int]
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    target: Target = "cpu"
    device: str = ""

    @property
    def lowered(self) -> tuple[LayerReport, ...]:
        """Return the layers that were lowered."""
        return tuple(layer for layer in self.layers if layer.packing)

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What became of a lowered model.

    Attributes:
        layers: operators that were replaced.
        bytes: of the weights before and after.
        difference: of the result to the lowered model, in shares of an output's scale; None where
            it was not run.
        note: why it was not; "" otherwise.
    """

    layers: int
    bytes: tuple[int, int]
    difference: float | None
    note: str = ""


def print_undone(console: Console, report: UndoReport, output: str) -> None:
    """Print what became of a lowered model."""
    before, after = report.bytes
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("undone", count(report.layers, "operator"))
    facts.add_row("weights", f"{size(before)} before, {size(after)} after")
    if report.difference is not None:
        facts.add_row("check", _difference(report.difference, "lowered model"))
    if report.note:
        facts.add_row("note", report.note)
    facts.add_row("wrote", output)
    console.print(facts)


def _difference(difference: float, other: str) -> str:
    return f"{difference:.1e} of the outputs' scale from the {other}"


def print_report(console: Console, report: LowerReport, output: str) -> None:
    """Print what was lowered, layer by layer, and the whole in a few lines."""
    console.print(_table(report.layers))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    before, after = report.bytes
    total = count(len(report.layers), "layer")
    facts.add_row("lowered", f"{len(report.lowered)} of {total}")
    facts.add_row("weights", f"{size(before)} before, {size(after)} after")
    for times in report.times:
        facts.add_row("time", _times(times, report.device or _threads(report.threads)))
    if report.difference is not None:
        other = "original" if report.target == "cpu" else "same in float32"
        facts.add_row("check", _difference(report.difference, other))
    for reason, nodes in _grouped(report.refusals).items():
        facts.add_row("dense", f"{nodes}: {reason}")
    for note in report.notes:
        facts.add_row("note", note)
    facts.add_row("wrote", output)
    console.print(facts)


def _threads(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _times(times: ModelTimes, on: str) -> str:
    before, after = milliseconds(times.dense), milliseconds(times.lowered)
    faster = 1 / times.ratio if times.ratio else float("inf")
    return f"{before} dense, {after} with {times.what} lowered: {faster:.2f} x as fast ({on})"


def _grouped(refusals: Sequence[Refusal]) -> dict[str, str]:
    """Return the nodes of each reason, the first named."""
    counts = Counter(r.reason for r in refusals)
    first = {r.reason: r.node for r in reversed(refusals)}
    return {
        reason: first[reason] + (f" and {number - 1} more" if number > 1 else "")
        for reason, number in counts.items()
    }


def _table(layers: Sequence[LayerReport]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("layer", overflow="fold")
    for title in ("weight", "zeros", "stored", "dense", "packed"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for layer in layers:
        table.add_row(
            layer.node,
            f"{layer.shape[0]} x {layer.shape[1]}",
            "" if layer.zeros is None else f"{layer.zeros:.0%}",
            layer.packing or "dense",
            _microseconds(layer.dense),
            _microseconds(layer.packed),
            layer.reason,
        )
    return table


def _microseconds(time: float | None) -> str:
    return "" if time is None else f"{time:.0f} us"
