"""A plan: for every cut dim the lanes that stay, and where the choice came from.

A plan is a small JSON file. It names the structure of the graph that it was made for, not its
weights, so it can be applied again, also to another precision of the same graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.analyse.members import stable_name
from spa_onnx.errors import PlanError
from spa_onnx.normalise.graph import Graph
from spa_onnx.plan.lanes import BoolArray, Kept, KeptLanes

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cut:
    """What stays of one dim.

    Attributes:
        name: the dim's stable name.
        size: lanes before.
        rows: name of the dim whose lanes keep lanes of their own; None where all keep the same.
        keep: kept lanes in ascending order, one list, or one for every row.
    """

    name: str
    size: int
    rows: str | None
    keep: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A pruning decision, deterministic to apply.

    Attributes:
        structure: fingerprint of the graph, see :func:`fingerprint`.
        cuts: the dims that lose lanes.
        settings: everything the decision was made with: options, passes, seed, versions.
    """

    structure: str
    cuts: tuple[Cut, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the plan as text."""
        cuts = [
            {"dim": c.name, "size": c.size, "rows": c.rows, "keep": [_runs(k) for k in c.keep]}
            for c in self.cuts
        ]
        content = {
            "format": FORMAT,
            "structure": self.structure,
            "settings": dict(self.settings),
            "cuts": cuts,
        }
        return json.dumps(content, indent=1) + "\n"

    @staticmethod
    def from_json(text: str, source: str) -> Plan:
        """Read a plan.

        Raises:
            PlanError: the text is no plan of this format.
        """
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise PlanError(
                    source, f"has format {content['format']}, this version reads {FORMAT}"
                )
            cuts = tuple(
                Cut(
                    str(c["dim"]),
                    int(c["size"]),
                    None if c["rows"] is None else str(c["rows"]),
                    tuple(_from_runs(k, int(c["size"])) for k in c["keep"]),
                )
                for c in content["cuts"]
            )
            return Plan(str(content["structure"]), cuts, dict(content["settings"]))
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as failure:
            raise PlanError(source, f"is no plan of spa-onnx ({failure!r})") from failure

    def lanes(self, analysis: Analysis, source: str = "") -> dict[Dim, Kept]:
        """Return the kept lanes by dim of a model that was just analysed.

        Raises:
            PlanError: the plan was made for a graph of another structure, or is inconsistent.
        """
        graph = analysis.propagation.graph
        if self.structure != fingerprint(graph):
            raise PlanError(source, "was made for a graph of another structure")
        dims = {d.name: d for d in analysis.dims}
        kept: dict[Dim, Kept] = {}
        for cut in self.cuts:
            dim = dims.get(cut.name)
            if dim is None or dim.dim.size != cut.size:
                raise PlanError(source, f"cuts dim {cut.name!r} of {cut.size} lanes, unknown here")
            kept[dim.dim] = _kept(cut, dim.rows, analysis, source)
            if kept[dim.dim].count < dim.least:
                raise PlanError(source, f"keeps fewer than {dim.least} lanes of {cut.name!r}")
        return kept


def _kept(cut: Cut, rows: Dim | None, analysis: Analysis, source: str) -> Kept:
    counts = {len(k) for k in cut.keep}
    expected = 1 if cut.rows is None or rows is None else rows.size
    if len(counts) != 1 or 0 in counts or len(cut.keep) != expected:
        raise PlanError(
            source, f"keeps no equal, non-empty set of lanes in the rows of {cut.name!r}"
        )
    mask: BoolArray = np.zeros((expected, cut.size), bool)
    for row, lanes in enumerate(cut.keep):
        mask[row, list(lanes)] = True
    labels = analysis.propagation.space.orbits(
        next(d.dim for d in analysis.dims if d.name == cut.name)
    )
    if labels is not None and not (mask[0] == mask[0][labels]).all():
        raise PlanError(source, f"separates lanes of {cut.name!r} that are coupled")
    if cut.rows is None:
        return Kept(mask[0])
    if rows is None:
        raise PlanError(source, f"cuts rows of {cut.name!r} apart, which are tied here")
    if stable_name(rows) != cut.rows:
        raise PlanError(source, f"cuts rows {cut.rows!r} of {cut.name!r} apart, unknown here")
    return Kept(mask, rows)


def make_plan(analysis: Analysis, kept: Mapping[Dim, Kept], settings: Mapping[str, Any]) -> Plan:
    """Return the plan of kept lanes."""
    cuts = []
    for d in analysis.dims:
        if d.dim not in kept or kept[d.dim].mask.all():
            continue
        k = kept[d.dim]
        rows = None if k.rows is None else stable_name(k.rows)
        lanes = tuple(tuple(np.flatnonzero(m).tolist()) for m in k.mask.reshape(-1, d.dim.size))
        cuts.append(Cut(d.name, d.dim.size, rows, lanes))
    return Plan(fingerprint(analysis.propagation.graph), tuple(cuts), settings)


def kept_lanes(
    analysis: Analysis, kept: Mapping[Dim, Kept], symbols: Mapping[str, int] | None = None
) -> KeptLanes:
    """Return what kept lanes mean for every axis of an analysed model."""
    return KeptLanes(analysis.propagation.space, kept, symbols)


def fingerprint(graph: Graph) -> str:
    """Return a hash of names, operators, edges and shapes; not of weights or element types."""
    digest = hashlib.sha256()
    for node in graph.nodes:
        digest.update(repr((node.op, node.inputs, node.outputs)).encode())
    for name, tensor in graph.tensors.items():
        digest.update(repr((name, list(tensor.dims))).encode())
    return digest.hexdigest()


def _runs(lanes: Sequence[int]) -> str:
    """Write ascending numbers as ``0-3,7``."""
    cuts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(lanes)) if b != a + 1), len(lanes)]
    runs = (lanes[a:b] for a, b in pairwise(cuts))
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)


def _from_runs(text: str, size: int) -> tuple[int, ...]:
    lanes: list[int] = []
    for run in text.split(","):
        first, _, last = run.partition("-")
        start, end = int(first), int(last or first)
        if not 0 <= start <= end < size or (lanes and start <= lanes[-1]):
            raise ValueError(f"lanes {run} of {size}")
        lanes.extend(range(start, end + 1))
    return tuple(lanes)
