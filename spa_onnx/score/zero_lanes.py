"""Lanes at which an activation is zero whatever the inputs are, from stored weights alone.

Operators are followed in order: a layer makes zeros where the rows of its weight and its bias are
zero, and what maps zero to zero keeps them. Everything else is taken to make no zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Dim, IntArray, dims_in, size_of
from spa_onnx.algebra.size import Polynomial
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node
from spa_onnx.layers.find import Convolution, Layer
from spa_onnx.plan.lanes import BoolArray, KeptLanes

# fmt: off
KEPT = frozenset([
        "Abs", "AveragePool", "Cast", "Celu", "DepthToSpace", "Elu", "Erf", "Expand", "Flatten",
        "Gelu", "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "Identity", "LeakyRelu",
        "MaxPool", "Mish", "Neg", "PRelu", "ReduceMax", "ReduceMean", "ReduceSum", "Relu",
        "Reshape", "Selu", "Sign", "Slice", "Softsign", "SpaceToDepth", "Sqrt", "Squeeze", "Swish",
        "Tanh", "Tile", "Transpose", "Unsqueeze"
])
# fmt: on
"""Operators whose first input's zeros stay zeros, wherever they are moved."""

ALL_ZERO = frozenset(["Add", "Max", "Mean", "Min", "Sub", "Sum"])
"""Elementwise operators that make zero of zeros alone."""


@dataclass(slots=True)
class ZeroLanes:
    """Finds zero lanes of dims in the tensors of a graph.

    Attributes:
        state: the solved graph.
        layers: its linear layers by output.
        dims: the dims that are followed.
    """

    state: Propagation
    layers: Mapping[str, Layer]
    dims: Iterable[Dim]
    _found: dict[tuple[str, Dim], BoolArray] = field(default_factory=dict)
    _lanes: KeptLanes = field(init=False)

    def __post_init__(self) -> None:
        self._lanes = KeptLanes(self.state.space, {})
        followed = set(self.dims)
        for node in self.state.graph.nodes:
            name = node.outputs[0] if node.outputs else ""
            axes = self.state.axes_of(name) if name and not node.scope else None
            held = {dim for e in axes or () for dim in dims_in(e)}
            for dim in held & followed:
                if self._axis_of(name, dim) is None:
                    continue
                zero = self._of_node(node, dim)
                if zero is not None and zero.any():
                    self._found[name, dim] = zero

    def of(self, name: str, dim: Dim) -> BoolArray:
        """Return which lanes of a dim are zero in a tensor, ``(lanes,)``."""
        found = self._found.get((name, dim))
        if found is None and name in self.state.graph.tensors:
            axis = self._axis_of(name, dim)
            if axis is not None:
                array = self.state.graph.array(name)
                others = tuple(k for k in range(array.ndim) if k != axis[0])
                zero = np.asarray(~array.astype(bool).any(axis=others))
                return by_lane(zero, axis[1], dim.size)
        return np.zeros(dim.size, bool) if found is None else found

    def _axes(self, name: str) -> Axes:
        """Return the axes of a tensor that the analysis has met."""
        return (self.state.axes_of(name) or ()) if name in self.state.axes else ()

    def _axis_of(self, name: str, dim: Dim) -> tuple[int, IntArray] | None:
        """Return the one axis that holds a dim, with the lane at every position."""
        held = []
        for k, e in enumerate(self._axes(name)):
            if isinstance(size_of(e), Polynomial):
                continue
            lanes = self._lanes.lanes_by_position(e)
            if (dim, 1) in lanes:
                return None
            if (dim, 0) in lanes:
                held.append((k, lanes[dim, 0]))
        return held[0] if len(held) == 1 else None

    def _of_node(self, node: Node, dim: Dim) -> BoolArray | None:
        if node.outputs[0] in self.layers:
            return self._of_layer(self.layers[node.outputs[0]], dim)
        given = [name for name in node.inputs if name]
        if node.op in KEPT:
            return self.of(given[0], dim)
        if node.op in ALL_ZERO:
            return all_of([self._or_all(name, dim) for name in given])
        match node.op:
            case "Concat":
                parts = [n for n in given if any(dim in dims_in(e) for e in self._axes(n))]
                return all_of([self.of(name, dim) for name in parts])
            case "Mul":
                return ~all_of([~self.of(name, dim) for name in given])
            case "Div":
                return self.of(given[0], dim)
            case "Clip" if self._clips_around_zero(node):
                return self.of(given[0], dim)
            case "BatchNormalization":
                x, scale, bias, mean = (self.of(name, dim) for name in given[:4])
                return bias & (scale | (x & mean))
            case _:
                return None

    def _or_all(self, name: str, dim: Dim) -> BoolArray:
        """Return the zero lanes of an operand; one without lanes is zero as a whole or not."""
        if self._axis_of(name, dim) is None and name in self.state.graph.tensors:
            zero = not self.state.graph.array(name).astype(bool).any()
            return np.full(dim.size, zero)
        return self.of(name, dim)

    def _of_layer(self, layer: Layer, dim: Dim) -> BoolArray | None:
        """Return where the rows of a weight are zero, and the bias too."""
        axis = self._axis_of(layer.node.outputs[0], dim)
        axes = self.state.axes_of(layer.node.outputs[0]) or ()
        behind = len(axes) - len(layer.bias_shape)
        if axis is None or axis[0] != (1 if isinstance(layer, Convolution) else behind):
            return None
        weight = layer.matrix(self.state.graph.array(layer.weight.name))
        zero = by_lane(~weight.astype(bool).any(axis=2).reshape(-1), axis[1], dim.size)
        if layer.passes_through:
            zero = zero | self.of(layer.source, dim)
        for name in filter(None, layer.node.inputs[2:]):
            zero = zero & self._or_all(name, dim)
        return zero

    def _clips_around_zero(self, node: Node) -> bool:
        """Say whether zero lies within the limits of a Clip, which are stored."""
        limits: list[Any] = [node.attributes.get("min"), node.attributes.get("max")]
        for k, name in enumerate(node.inputs[1:3]):
            if name:
                if name not in self.state.graph.tensors:
                    return False
                limits[k] = self.state.graph.array(name)
        low, high = limits
        return bool((low is None or np.all(low <= 0)) and (high is None or np.all(high >= 0)))


def by_lane(zero: NDArray[np.bool_], lanes: IntArray, size: int) -> BoolArray:
    """Return which lanes are zero at all their positions; a lane without positions is not."""
    held = np.bincount(lanes[lanes >= 0], minlength=size)
    count = np.bincount(lanes[(lanes >= 0) & zero], minlength=size)
    found: BoolArray = (held > 0) & (count == held)
    return found


def all_of(masks: Sequence[BoolArray]) -> BoolArray:
    """Return what every mask holds."""
    found: BoolArray = np.logical_and.reduce(masks)
    return found
