"""The report of a sparsifying run, as values, JSON and text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from spa_onnx.report.words import count, short
from spa_onnx.sparse.layers import LeftDense


@dataclass(frozen=True, slots=True)
class SparseLayerReport:
    """One layer that became sparse.

    Attributes:
        node: its label.
        tensor: where its weight is stored.
        pattern: of its zeros.
        weights: number of its weights.
        zeros: how many of them are zero now.
        damage: what its outputs lost of the energy of the dense ones, on what the sparse network
            hands to it, as a share; None where nothing was run or its moments were too large.
    """

    node: str
    tensor: str
    pattern: str
    weights: int
    zeros: int
    damage: float | None

    @property
    def sparsity(self) -> float:
        """Return the share of the weights that is zero."""
        return self.zeros / max(1, self.weights)


@dataclass(frozen=True, slots=True)
class SparsifyReport:
    """Everything that is known about a run.

    Attributes:
        model: where the model came from.
        layers: those that became sparse, in the order in which they run.
        dense: operators with weights that stayed dense.
        distance: squared change of the model's outputs in shares of their variance; None where
            nothing was run.
        samples: inputs that it was run on.
        origin: where these come from.
        coarse: layers whose second moments take more memory than allowed; masked, not refitted.
        rearranged: dims whose channels were put in another order.
        seconds: wall-clock time of every stage.
        settings: options, passes and seed.
        versions: of spa-onnx and what it builds on.
        notes: what a user should know about this result.
    """

    model: str
    layers: tuple[SparseLayerReport, ...]
    dense: tuple[LeftDense, ...]
    distance: float | None
    samples: int
    origin: str
    coarse: tuple[str, ...]
    rearranged: int
    seconds: Mapping[str, float]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def weights(self) -> int:
        """Return the number of weights of the layers that became sparse."""
        return sum(layer.weights for layer in self.layers)

    @property
    def zeros(self) -> int:
        """Return how many of these are zero."""
        return sum(layer.zeros for layer in self.layers)

    @property
    def sparsity(self) -> float:
        """Return the share of these weights that is zero."""
        return self.zeros / max(1, self.weights)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        layers = [asdict(layer) | {"sparsity": layer.sparsity} for layer in self.layers]
        sums = {"weights": self.weights, "zeros": self.zeros, "sparsity": self.sparsity}
        return asdict(self) | {"layers": layers} | sums

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def print_sparsified(console: Console, report: SparsifyReport, output: str) -> None:
    """Print what became of each layer, and the sums."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("layer", overflow="fold")
    table.add_column("pattern")
    for title in ("weights", "zero", "damage"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in report.layers:
        damage = "" if layer.damage is None else f"{layer.damage:.2g}"
        cells = (layer.node, layer.pattern, f"{layer.weights:,}", f"{layer.sparsity:.1%}", damage)
        table.add_row(*cells)
    console.print(table)
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, text in _facts(report, output):
        facts.add_row(title, text)
    console.print(facts)


def _facts(report: SparsifyReport, output: str) -> Iterator[tuple[str, str]]:
    zeros = f"{report.zeros:,} of {report.weights:,} weights ({report.sparsity:.1%})"
    yield "zero", f"{zeros} in {count(len(report.layers), 'layer')}"
    reasons = Counter[str]()
    weights = Counter[str]()
    for left in report.dense:
        reasons[left.reason] += 1
        weights[left.reason] += left.weights
    for reason, number in reasons.most_common():
        text = f"{count(number, 'layer')}, {short(weights[reason])} weights: {reason}"
        yield "dense", text
    if report.distance is not None:
        inputs = f"{count(report.samples, 'input')} ({report.origin})"
        text = f"squared distance of the outputs to the original's {report.distance:.2g}"
        yield "outputs", f"{text} of their variance, on {inputs}"
    if report.rearranged:
        yield "rearranged", count(report.rearranged, "dim")
    if report.coarse:
        text = "above the statistics memory, masked by variances and not refitted"
        yield "coarse", f"{count(len(report.coarse), 'layer')} {text}"
    for note in report.notes:
        yield "note", note
    yield "written", output
    yield "time", f"{sum(report.seconds.values()):.2f} s"
