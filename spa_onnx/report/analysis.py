"""What an analysis found, as values and JSON: the counterpart of a run's report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from spa_onnx.algebra.expression import IntArray
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.analyse.members import Role
from spa_onnx.cost.polynomial import CostPolynomial, Costs, costs
from spa_onnx.granularity import Kind
from spa_onnx.report.make import refusals, sizes_at
from spa_onnx.report.report import Refusal, Sizes, library_versions


@dataclass(frozen=True, slots=True)
class MemberReport:
    """A weight axis that a dim runs along, and what the weight does with the lanes."""

    tensor: str
    axis: int
    role: Role


@dataclass(frozen=True, slots=True)
class LaneCost:
    """What a dim is worth in one quantity.

    Attributes:
        share: part of the model's total that runs along the dim. A weight between two dims counts
            for both, so shares add up to more than one.
        marginal: what the first removed lane saves.
    """

    share: float
    marginal: int


@dataclass(frozen=True, slots=True)
class PrunableReport:
    """One prunable dim.

    Attributes:
        name: stable name; ``--exclude`` and plans use it.
        kind: what the lanes are to somebody who knows the architecture.
        lanes: number of lanes.
        rows: number of rows that may keep lanes of their own; None where all keep the same.
        members: the weight axes that lose a lane together.
        parameters: cost in parameters.
        operations: cost in multiply-accumulate operations.
    """

    name: str
    kind: Kind
    lanes: int
    rows: int | None
    members: tuple[MemberReport, ...]
    parameters: LaneCost
    operations: LaneCost


@dataclass(frozen=True, slots=True)
class SparedReport:
    """A dim that could be cut but is not: another factor is, or its kind was not asked for."""

    name: str
    kind: Kind
    lanes: int


@dataclass(frozen=True, slots=True)
class AnalysisReport:
    """Everything that ``spa-onnx analyze`` tells.

    Attributes:
        model: where the model came from.
        size: cost of the model.
        dims: what may be cut, in graph order.
        spared: what may be cut instead, with another ``--granularity``.
        fixed: weight axes that may not, heaviest first.
        unknown_operators: operator type -> nodes that no rule covers.
        versions: of spa-onnx and what it builds on.
    """

    model: str
    size: Sizes
    dims: tuple[PrunableReport, ...]
    spared: tuple[SparedReport, ...]
    fixed: tuple[Refusal, ...]
    unknown_operators: Mapping[str, int]
    versions: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def make_analysis_report(model: str, analysis: Analysis) -> AnalysisReport:
    """Return the report of an analysed model."""
    cost = costs(analysis.propagation, [d.dim for d in analysis.dims], {})
    widths = np.array([d.dim.size for d in analysis.dims], np.int64)
    return AnalysisReport(
        model,
        sizes_at(cost, widths),
        tuple(_dim(d, k, cost, widths) for k, d in enumerate(analysis.dims)),
        tuple(SparedReport(d.name, d.kind, d.dim.size) for d in analysis.spared),
        refusals(analysis),
        {op: len(nodes) for op, nodes in analysis.propagation.unknown_ops.items()},
        library_versions(),
    )


def _dim(dim: PrunableDim, position: int, cost: Costs, widths: IntArray) -> PrunableReport:
    return PrunableReport(
        dim.name,
        dim.kind,
        dim.dim.size,
        None if dim.rows is None else dim.rows.size,
        tuple(MemberReport(m.tensor, m.axis, m.role) for m in dim.members),
        _lane_cost(cost.parameters, position, widths),
        _lane_cost(cost.operations, position, widths),
    )


def _lane_cost(cost: CostPolynomial, position: int, widths: IntArray) -> LaneCost:
    total = cost.at(widths)
    without = widths.copy()
    without[position] = 0
    share = (total - cost.at(without)) / total if total > 0 else 0.0
    return LaneCost(share, round(cost.marginal(widths, position)))
