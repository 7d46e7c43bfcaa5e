"""What sums over the lanes of a dim: the layers whose loss the removal of a lane is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, IntArray, size_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.collect import LayerMoments, thinness
from spa_onnx.calibrate.pair_moments import PairMoments
from spa_onnx.layers.layer import Layer
from spa_onnx.plan.lanes import KeptLanes

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Consumer:
    """A layer that sums over lanes of a dim, ``Y = W X``.

    Attributes:
        weight: ``(groups, outputs, features)``.
        covariance: of the features over the calibration inputs, ``(groups, features, features)``;
            where that takes too much memory the variances alone, ``(groups, features)``.
        units: the unit that every feature belongs to, -1 for none, ``(groups, features)``.
        mean: of the features over the same inputs, ``(groups, features)``.
        samples: that the covariance is of; 0 where that is unknown.
    """

    weight: FloatArray
    covariance: FloatArray
    units: IntArray
    mean: FloatArray
    samples: int = 0

    @property
    def thinness(self) -> float:
        """Return how many features there are for each sample, one at least."""
        return thinness(self.units.shape[1], self.samples or self.units.shape[1])

    @property
    def variance(self) -> FloatArray:
        """Return the variance of every feature, ``(groups, features)``."""
        full = self.covariance
        return full if full.ndim == 2 else np.diagonal(full, axis1=1, axis2=2)

    def by_unit(self, values: FloatArray, units: int) -> FloatArray:
        """Return numbers of features, ``(groups, features)``, summed for each of so many units."""
        held = self.units >= 0
        total = np.zeros(units)
        total += np.bincount(self.units[held], values[held], units)
        return total

    @property
    def energy(self) -> float:
        """Return the variance of the output, all outputs together."""
        if self.covariance.ndim == 2:
            return float(np.einsum("gok,gk->", np.square(self.weight), self.covariance))
        product = self.weight @ self.covariance
        return float(np.einsum("gok,gok->", product, self.weight))


@dataclass(frozen=True, slots=True)
class Pair:
    """A product of two activations that sums over lanes of a dim, such as queries with keys.

    Attributes:
        left: second moments of the one side's lanes, ``E[a a']``, ``(groups, lanes, lanes)``.
        right: of the other side's.
        units: the unit that every lane belongs to, -1 for none, ``(groups, lanes)``.
    """

    left: FloatArray
    right: FloatArray
    units: IntArray

    @property
    def energy(self) -> float:
        """Return the mean square of the results of rows that meet at random, of all groups."""
        return float(np.einsum("gij,gij->", self.left, self.right))


@dataclass(slots=True)
class ConsumerReader:
    """Finds the consumers of dims and reads what belongs to them.

    Attributes:
        analysis: the dims.
        moments: of what layers see.
        products: of what products of activations see; None where nobody wants to know.
    """

    analysis: Analysis
    moments: LayerMoments
    products: PairMoments | None = None
    _by_dim: dict[Dim, list[tuple[Layer, IntArray]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for layer in self.moments.layers:
            if layer.passes_through:
                continue
            for dim in self.analysis.dims:
                units = units_of(self.analysis.propagation, layer, dim)
                if units is not None:
                    self._by_dim.setdefault(dim.dim, []).append((layer, units))

    def layers(self, dim: PrunableDim) -> list[tuple[Layer, IntArray]]:
        """Return the layers that sum over a dim, each with the unit of every feature."""
        return self._by_dim.get(dim.dim, [])

    def consumers(self, dim: PrunableDim) -> Sequence[Consumer]:
        """Return the layers that sum over a dim with their weights and second moments."""
        found = self.layers(dim)
        moments = self.moments.of([layer for layer, _ in found])
        graph = self.analysis.propagation.graph
        return [
            Consumer(
                layer.matrix(graph.array(layer.weight.name).astype(np.float64)),
                of.covariance,
                units,
                of.mean,
                of.count,
            )
            for (layer, units), of in zip(found, moments, strict=True)
        ]

    def pairs(self, dim: PrunableDim) -> Sequence[Pair]:
        """Return the products of activations that sum over a dim, with their second moments."""
        found = [] if self.products is None else self.products.of(dim)
        return [Pair(of.left.second, of.right.second, of.units) for of in found]


def units_of(state: Propagation, layer: Layer, dim: PrunableDim) -> IntArray | None:
    """Return the unit of every feature of a layer; None where it sums over none of the dim."""
    axes = state.axes_of(layer.source)
    if axes is None:
        return None
    if isinstance(size_of(axes[layer.axis]), Polynomial):
        return None  # a length that inputs decide, such as that of a padded sequence
    lanes = KeptLanes(state.space, {}).lanes_by_position(axes[layer.axis])
    lane = lanes.get((dim.dim, 0))
    if lane is None:
        return None
    if dim.rows is not None:
        row = lanes.get((dim.rows, 0))
        if row is None:  # the rows lie along the samples, so a feature has no one unit
            return None
        lane = np.where(lane < 0, -1, row * dim.dim.size + lane)
    units: IntArray = lane[layer.positions()]
    return units
