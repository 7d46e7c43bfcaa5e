"""The times of one layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from spa_onnx.bench.kernels.forms import Form
from spa_onnx.bench.kernels.roofline import Roofline
from spa_onnx.bench.kernels.shapes import Layer

GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Timing:
    """One layer with one pattern; all seconds are of one copy, medians of the rounds.

    Attributes:
        layer: that ran.
        pattern: of its zeros.
        sparsity: share of zeros.
        form: how our weight is packed.
        sparse: seconds of ours.
        dense: seconds of the runtime's ways, by name.
        way: the fastest of them.
        ratios: its seconds over ours, round by round.
        stored: weights that are not zero.
        packed_bytes: of our weight.
        copies: that ran one after another.
        tried: least seconds of every form in the rounds that chose one.
    """

    layer: Layer
    pattern: str
    sparsity: float
    form: Form
    sparse: float
    dense: Mapping[str, float]
    way: str
    ratios: tuple[float, ...]
    stored: int
    packed_bytes: int
    copies: int
    tried: Mapping[Form, float]

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is: the median over rounds."""
        return median(self.ratios)

    @property
    def stored_rate(self) -> float:
        """Return billions of operations a second on weights that are not zero."""
        return self._operations / self.sparse / GIGA

    @property
    def dense_equivalent_rate(self) -> float:
        """Return billions of operations a second that a dense layer would need in our time."""
        weights = self.layer.rows * self.layer.columns
        return 2 * weights * self.layer.positions / self.sparse / GIGA

    @property
    def traffic(self) -> int:
        """Return the bytes of packed weight, input and output."""
        return self.packed_bytes + 4 * (
            math.prod(self.layer.x_shape) + math.prod(self.layer.y_shape)
        )

    def roofline_share(self, roofline: Roofline) -> float:
        """Return the least time that the machine allows over ours.

        The least time is the longer of two: all operations at the machine's peak, all bytes at its
        bandwidth for as much memory as the copies touch.
        """
        computing = self._operations / roofline.peak
        reading = self.traffic / roofline.bandwidth(self.traffic * self.copies)
        return max(computing, reading) / self.sparse

    @property
    def _operations(self) -> float:
        return 2 * self.stored * self.layer.positions
