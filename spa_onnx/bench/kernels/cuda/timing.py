"""The times of one layer on a GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline

GIGA, TERA = 1e9, 1e12
NUMBER = 2
"""Bytes of a value of 16 bits."""


@dataclass(frozen=True, slots=True)
class CudaRow:
    """One layer with one pattern; all seconds are of one run, medians of the rounds.

    Attributes:
        case: that was timed.
        kernel: that ran.
        sparse: seconds of ours.
        dense: seconds of cuBLASLt.
        ratios: its seconds over ours, round by round.
        stored: weights that are not zero.
        packed_bytes: of our weight.
        copies: of ours on the device, and of the dense one.
        roofline: limits of the device.
        tried: seconds of kernels, where there was a choice or all were asked for.
    """

    case: CudaCase
    kernel: str
    sparse: float
    dense: float
    ratios: tuple[float, ...]
    stored: int
    packed_bytes: int
    copies: tuple[int, int]
    roofline: CudaRoofline
    tried: Mapping[str, float] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Return the name of the layer's group, with the type."""
        return self.case.label

    @property
    def together(self) -> str:
        """Return under which name layers of several groups are averaged."""
        together = self.case.group.together
        return f"{together} {self.case.values}" if together else ""

    @property
    def pattern(self) -> str:
        """Return the pattern of the zeros."""
        return str(self.case.pattern)

    @property
    def sparsity(self) -> float:
        """Return the share of zeros."""
        return self.case.sparsity

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is: the median over rounds."""
        return median(self.ratios)

    @property
    def operations(self) -> float:
        """Return the operations on weights that are not zero."""
        return 2 * self.stored * self.case.layer.positions

    @property
    def stored_rate(self) -> float:
        """Return trillions of operations a second on weights that are not zero."""
        return self.operations / self.sparse / TERA

    @property
    def dense_equivalent_rate(self) -> float:
        """Return trillions of operations a second that a dense layer would need in our time."""
        layer = self.case.layer
        return 2 * layer.rows * layer.columns * layer.positions / self.sparse / TERA

    @property
    def traffic(self) -> int:
        """Return the bytes of packed weight, input and output."""
        layer = self.case.layer
        return self.packed_bytes + NUMBER * (math.prod(layer.x_shape) + math.prod(layer.y_shape))

    @property
    def bytes_rate(self) -> float:
        """Return billions of these bytes a second."""
        return self.traffic / self.sparse / GIGA

    @property
    def roofline_share(self) -> float:
        """Return the least time that the device allows over ours.

        The least time is the longer of two: all operations at the device's peak, all bytes at its
        bandwidth.
        """
        computing = self.operations / self.roofline.peaks[self.case.values]
        reading = self.traffic / self.roofline.bandwidth
        return max(computing, reading) / self.sparse
