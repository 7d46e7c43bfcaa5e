"""MatMul and Gemm with a stored matrix as linear layers. Source: ONNX Gemm-13 and MatMul-13."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from spa_onnx.algebra.expression import IntArray
from spa_onnx.graph.node import Node
from spa_onnx.layers.layer import Array, Places, Stored


@dataclass(frozen=True, slots=True)
class Product:
    """A product of an activation with a stored matrix; a sample is one row of the activation.

    A matrix on the left multiplies columns, so there rows and columns change places:

        X (.., N, F) @ W (F, O) = Y (.., N, O)        W (O, F) @ X (.., F, N) = Y (.., O, N)

    Attributes:
        transposed: the node sees ``(outputs, features)`` instead of ``(features, outputs)``.
        left: the weight stands on the left.
        turned: the node reads its activation transposed, as Gemm with ``transA`` does.
        factor: what the node multiplies the product with.
        bias_factor: what it multiplies its bias with.
    """

    node: Node
    weight: Stored
    shape: tuple[int, ...]
    transposed: bool
    left: bool = False
    turned: bool = False
    factor: float = 1.0
    bias_factor: float = 1.0

    @property
    def source(self) -> str:
        """Return the input that is no weight."""
        name: str = self.node.inputs[1 if self.left else 0]
        return name

    @property
    def axis(self) -> int:
        """Return the last axis, or the one before it where columns are multiplied."""
        return -2 if self._by_columns else -1

    @property
    def output_axis(self) -> int:
        """Return the last axis, or the one before it where the weight stands on the left."""
        return -2 if self.left else -1

    @property
    def _by_columns(self) -> bool:
        return self.left or self.turned

    @property
    def width(self) -> int:
        """Return the number of outputs."""
        return self.shape[0] if self.transposed else self.shape[1]

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Return one number for each column of the result, or for each row."""
        return (self.width, 1) if self.left else (self.width,)

    @property
    def passes_through(self) -> bool:
        """Say no: every feature reaches every output."""
        return False

    @property
    def key(self) -> tuple[object, ...]:
        """Return the input and how it is read."""
        return self.source, self._by_columns

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but that of the features."""
        return (*shape[:-2], shape[-1]) if self._by_columns else shape[:-1]

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but that of the outputs."""
        return (*shape[:-2], shape[-1]) if self.left else shape[:-1]

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return rows of the batch."""
        return (np.sort(rng.permutation(prod(grid))[:count]),)

    def features(self, x: Array, places: Places) -> Array:
        """Return rows of the activation."""
        return _rows(x, by_columns=self._by_columns)[places[0]][:, None]

    def outputs(self, y: Array, places: Places) -> Array:
        """Return rows of the result."""
        return _rows(y, by_columns=self.left)[places[0]][:, None]

    def matrix(self, weight: Array) -> Array:
        """Return ``(1, outputs, features)``."""
        seen = self.weight.seen(weight)
        return (seen if self.transposed else seen.T)[None] * self.factor

    def stored(self, matrix: Array) -> Array:
        """Undo :meth:`matrix`."""
        plain: Array = matrix[0] / self.factor
        return self.weight.held(plain if self.transposed else plain.T)

    def positions(self) -> IntArray:
        """Return the column of every feature."""
        found: IntArray = np.arange(self.shape[1] if self.transposed else self.shape[0])[None]
        return found


def _rows(array: Array, *, by_columns: bool) -> Array:
    turned = array.swapaxes(-1, -2) if by_columns else array
    return turned.reshape(prod(turned.shape[:-1]), turned.shape[-1])
