"""Non-negative arrays of any scale: products of absolute weights leave float64 in deep networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flow:
    """What runs through a tensor, ``values * 2**exponent``.

    An axis along which it is constant has length one, whatever the tensor's length is.

    Attributes:
        values: between zero and one, of the tensor's rank.
        exponent: a power of two for all values.
    """

    values: FloatArray
    exponent: int = 0

    @staticmethod
    def of(values: FloatArray, exponent: int = 0) -> Flow:
        """Return values of any size, with the largest brought between a half and one."""
        largest = float(values.max(initial=0.0))
        if largest == 0:
            return Flow(values)
        shift = int(np.frexp(largest)[1])
        return Flow(np.ldexp(values, -shift), exponent + shift)

    def times(self, other: Flow) -> Flow:
        """Return the elementwise product."""
        return Flow.of(self.values * other.values, self.exponent + other.exponent)

    def root(self) -> Flow:
        """Return the square roots."""
        odd = self.exponent % 2
        return Flow.of(np.sqrt(np.ldexp(self.values, odd)), (self.exponent - odd) // 2)

    def over(self, other: Flow) -> Flow:
        """Return quotients; what is divided by zero becomes zero."""
        shape = np.broadcast_shapes(self.values.shape, other.values.shape)
        dividend = np.broadcast_to(self.values, shape)
        divisor = np.broadcast_to(other.values, shape)
        made = np.divide(dividend, divisor, out=np.zeros(shape), where=divisor != 0)
        return Flow.of(made, self.exponent - other.exponent)

    def to_shape(self, shape: tuple[int, ...]) -> Flow:
        """Sum what was broadcast from a shape, back to this shape."""
        return Flow.of(summed(self.values, shape), self.exponent)


def summed(values: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return sums over all axes along which a shape was broadcast: the transpose of that."""
    front = values.ndim - len(shape)
    ones = (k + front for k, n in enumerate(shape) if n == 1 and values.shape[k + front] > 1)
    over = (*range(front), *ones)
    return values.sum(axis=over, keepdims=True).reshape(shape) if over else values


def total(flows: Sequence[Flow]) -> Flow:
    """Return the sum of flows that broadcast with each other."""
    if len(flows) == 1:
        return flows[0]
    held = [flow.exponent for flow in flows if flow.values.any()]
    top = max(held, default=0)
    made = sum((np.ldexp(f.values, max(f.exponent - top, -2000)) for f in flows), np.zeros(()))
    return Flow.of(np.asarray(made, np.float64), top)
