"""Flow through layers, as flow through the units of dims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from spa_onnx.algebra.expression import Dim, dims_in, size_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.flow.network import Cut
from spa_onnx.flow.values import FloatArray
from spa_onnx.score.weights import Labels, labels_along

Labelled = list[tuple[PrunableDim, Labels]]


@dataclass(slots=True)
class UnitFlows:
    """Adds up what runs by every unit.

    Attributes:
        analysis: the dims.
    """

    analysis: Analysis
    _labels: dict[tuple[str, int], Labelled] = field(default_factory=dict)

    def by_cut(self, cuts: Iterable[Cut]) -> Iterator[tuple[Dim, FloatArray]]:
        """Yield for every side of a layer the flow by the units of each dim there."""
        for cut in cuts:
            for dim, labels in self._labels_of(cut):
                flow = _spread(cut.flow, labels)
                held = labels.units >= 0
                units = dim.dim.size * (1 if dim.rows is None else dim.rows.size)
                yield dim.dim, np.zeros(units) + np.bincount(labels.units[held], flow[held], units)

    def _labels_of(self, cut: Cut) -> Labelled:
        key = (cut.tensor, cut.axis)
        if key not in self._labels:
            self._labels[key] = list(self._find(cut))
        return self._labels[key]

    def _find(self, cut: Cut) -> Iterator[tuple[PrunableDim, Labels]]:
        state = self.analysis.propagation
        axes = state.axes_of(cut.tensor) or ()
        if isinstance(size_of(axes[cut.axis]), Polynomial):
            return
        held = set(dims_in(axes[cut.axis]))
        for dim in self.analysis.dims:
            labels = labels_along(state.space, dim, axes, cut.axis) if dim.dim in held else None
            if labels is not None:
                yield dim, labels


def _spread(flow: FloatArray, labels: Labels) -> FloatArray:
    """Sum over all axes but those of the labels; constant ones share equally."""
    shape = list(flow.shape)
    for axis, length in zip(labels.axes, labels.units.shape, strict=True):
        shape[axis] = length
    spread = np.broadcast_to(flow * (flow.size / np.prod(shape)), shape)
    made: FloatArray = spread.sum(axis=tuple(k for k in range(flow.ndim) if k not in labels.axes))
    return made
