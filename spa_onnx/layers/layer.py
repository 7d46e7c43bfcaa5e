"""What a linear layer is: ``Y = W X + b`` in every group, with samples and features.

A *sample* is one position of the output (a pixel, a token); its *features* are all numbers that the
layer multiplies for it, a whole receptive field of a convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.graph.node import Node

Array = NDArray[Any]
Places = tuple[IntArray, ...]
"""Indices of samples along the axes of the output that do not hold its channels."""


WITHOUT_BIAS = frozenset({"MatMul", "FusedMatMul"})
"""Operator types that add no bias of their own; a node behind them does."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A weight as the file holds it; a node may see it through Transpose, Cast and Identity.

    Attributes:
        name: the stored tensor.
        order: the stored axis that each axis of the weight is that the node sees.
        element: the type that the node sees.
    """

    name: str
    order: tuple[int, ...]
    element: int

    def seen(self, array: Array) -> Array:
        """Return a stored array as the node sees it."""
        return array.transpose(self.order)

    def held(self, array: Array) -> Array:
        """Undo :meth:`seen`."""
        return array.transpose(np.argsort(self.order))


class Layer(Protocol):
    """One linear node."""

    @property
    def node(self) -> Node:
        """Return the node."""
        ...

    @property
    def source(self) -> str:
        """Return the name of the activation that the layer reads."""
        ...

    @property
    def weight(self) -> Stored:
        """Return where the weight lies."""
        ...

    @property
    def axis(self) -> int:
        """Return the axis of the input that holds the features."""
        ...

    @property
    def output_axis(self) -> int:
        """Return the axis of the output that holds the outputs."""
        ...

    @property
    def width(self) -> int:
        """Return the number of outputs, all groups together."""
        ...

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape that a bias of one number for each output has."""
        ...

    @property
    def bias_factor(self) -> float:
        """Return what the node multiplies its own bias with."""
        ...

    @property
    def passes_through(self) -> bool:
        """Say whether every channel is only multiplied with itself, as in depthwise layers."""
        ...

    @property
    def key(self) -> tuple[object, ...]:
        """Return what layers have in common that see the same features."""
        ...

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the lengths along which samples lie, for an input of this shape."""
        ...

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the same for an output of this shape."""
        ...

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return up to about ``count`` samples of a grid, in its order, each at most once."""
        ...

    def features(self, x: Array, places: Places) -> Array:
        """Return ``(samples, groups, features)`` of an input."""
        ...

    def outputs(self, y: Array, places: Places) -> Array:
        """Return ``(samples, groups, outputs per group)`` of an output."""
        ...

    def matrix(self, weight: Array) -> Array:
        """Return a stored weight as ``(groups, outputs per group, features)``."""
        ...

    def stored(self, matrix: Array) -> Array:
        """Return a matrix in the form in which the file holds the weight."""
        ...

    def positions(self) -> IntArray:
        """Return ``(groups, features)``: the position along the input's axis of every feature."""
        ...
