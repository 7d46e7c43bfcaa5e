"""Operators without weights, each in the form that the graph's opset knows."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tests.graph_writer import GraphWriter


class GraphOperators(GraphWriter):
    """A graph to which operators without weights of their own can be added by name."""

    # Elementwise operators.

    def relu(self, x: str) -> str:
        """max(x, 0)."""
        return self.node("Relu", [x])

    def sigmoid(self, x: str) -> str:
        """1 / (1 + exp(-x))."""
        return self.node("Sigmoid", [x])

    def tanh(self, x: str) -> str:
        """Hyperbolic tangent."""
        return self.node("Tanh", [x])

    def clip(self, x: str, low: float, high: float) -> str:
        """Limit values to ``[low, high]``."""
        if self.opset < 11:
            return self.node("Clip", [x], min=low, max=high)
        return self.node("Clip", [x, self.constant(low), self.constant(high)])

    def add(self, a: str, b: str) -> str:
        """a + b."""
        return self.node("Add", [a, b])

    def sub(self, a: str, b: str) -> str:
        """a - b."""
        return self.node("Sub", [a, b])

    def mul(self, a: str, b: str) -> str:
        """a * b."""
        return self.node("Mul", [a, b])

    def div(self, a: str, b: str) -> str:
        """a / b."""
        return self.node("Div", [a, b])

    def matmul(self, a: str, b: str) -> str:
        """Matrix product of two tensors."""
        return self.node("MatMul", [a, b])

    def einsum(self, equation: str, *xs: str) -> str:
        """Einsum, from opset 12."""
        return self.node("Einsum", xs, equation=equation)

    # Operators that move lanes.

    def concat(self, *xs: str, axis: int = 1) -> str:
        """Lay tensors end to end."""
        return self.node("Concat", xs, axis=axis)

    def split(self, x: str, sizes: Sequence[int], axis: int = 1) -> tuple[str, ...]:
        """Cut one axis into pieces of the given sizes."""
        if self.opset < 13:
            return tuple(self.node("Split", [x], len(sizes), axis=axis, split=list(sizes)))
        return tuple(self.node("Split", [x, self.constant(sizes)], len(sizes), axis=axis))

    def slice(
        self, x: str, start: int, stop: int | None = None, *, axis: int = 1, step: int = 1
    ) -> str:
        """``x[start:stop:step]`` on one axis; a stop of ``None`` reaches the end."""
        if stop is None:
            stop = -(2**31) if step < 0 else 2**31 - 1
        if self.opset < 10 and step == 1:
            return self.node("Slice", [x], axes=[axis], starts=[start], ends=[stop])
        steps = [] if step == 1 else [self.constant([step])]
        numbers = [self.constant([n]) for n in (start, stop, axis)]
        return self.node("Slice", [x, *numbers, *steps])

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Reshape to a constant shape; 0 copies an axis, -1 infers one."""
        return self.node("Reshape", [x, self.constant(shape)])

    def flatten(self, x: str, axis: int = 1) -> str:
        """Merge all axes before and all axes from ``axis``."""
        return self.node("Flatten", [x], axis=axis)

    def transpose(self, x: str, *perm: int) -> str:
        """Permute axes."""
        return self.node("Transpose", [x], perm=perm)

    def squeeze(self, x: str, *axes: int) -> str:
        """Drop axes of length 1."""
        return self._with_axes("Squeeze", x, axes, since=13)

    def unsqueeze(self, x: str, *axes: int) -> str:
        """Insert axes of length 1."""
        return self._with_axes("Unsqueeze", x, axes, since=13)

    def gather(self, x: str, indices: npt.ArrayLike, axis: int = 1) -> str:
        """Select constant indices of one axis."""
        return self.node("Gather", [x, self.constant(indices)], axis=axis)

    def pad(self, x: str, amounts: Mapping[int, tuple[int, int]]) -> str:
        """Pad with zeros: ``amounts[axis] = (before, after)``."""
        rank = len(self.shape(x))
        pads = [amounts.get(axis, (0, 0))[end] for end in (0, 1) for axis in range(rank)]
        if self.opset < 11:
            return self.node("Pad", [x], pads=pads)
        return self.node("Pad", [x, self.constant(pads)])

    def expand(self, x: str, shape: Sequence[int]) -> str:
        """Broadcast to a constant shape."""
        return self.node("Expand", [x, self.constant(shape)])

    def depth_to_space(self, x: str, block: int, mode: str = "DCR") -> str:
        """Move channels to space; mode CRD needs opset 11."""
        mode_if_known = None if self.opset < 11 else mode
        return self.node("DepthToSpace", [x], blocksize=block, mode=mode_if_known)

    # Operators that mix the positions of an axis.

    def max_pool(self, x: str, kernel: int = 2) -> str:
        """Largest value of each window, windows side by side."""
        spatial = self._kernel(x, kernel)
        return self.node("MaxPool", [x], kernel_shape=spatial, strides=spatial)

    def average_pool(self, x: str, kernel: int = 2) -> str:
        """Mean of each window, windows side by side."""
        spatial = self._kernel(x, kernel)
        return self.node("AveragePool", [x], kernel_shape=spatial, strides=spatial)

    def global_average_pool(self, x: str) -> str:
        """Mean over all spatial axes, kept with length 1."""
        return self.node("GlobalAveragePool", [x])

    def reduce(self, op: str, x: str, *axes: int, keepdims: bool = True) -> str:
        """Apply ReduceMean, ReduceSum, ReduceMax, ReduceL2 and so on over some axes."""
        since = 13 if op == "ReduceSum" else 18
        return self._with_axes(op, x, axes, since=since, keepdims=int(keepdims))

    def resize(self, x: str, factor: int = 2) -> str:
        """Enlarge the last two axes by an integer, nearest neighbour."""
        scales = self.constant(np.array([1, 1, factor, factor], np.float32))
        if self.opset < 10:
            return self.node("Upsample", [x, scales], mode="nearest")
        if self.opset < 11:
            return self.node("Resize", [x, scales], mode="nearest")
        # The region of interest became optional in opset 13; without one it has no entries.
        region = "" if self.opset >= 13 else self.constant(np.empty(0, np.float32))
        return self.node("Resize", [x, region, scales], mode="nearest")

    def softmax(self, x: str, axis: int = -1) -> str:
        """Softmax; before opset 13 it flattens all axes behind ``axis``."""
        rank = len(self.shape(x))
        return self.node("Softmax", [x], axis=axis if self.opset >= 11 else axis % rank)

    def _kernel(self, x: str, kernel: int | Sequence[int]) -> list[int]:
        rank = len(self.shape(x)) - 2
        return [kernel] * rank if isinstance(kernel, int) else list(kernel)

    def _with_axes(
        self, op: str, x: str, axes: Sequence[int], *, since: int, keepdims: int | None = None
    ) -> str:
        """Write axes as an input from opset ``since``, as an attribute before."""
        if self.opset < since:
            return self.node(op, [x], axes=list(axes), keepdims=keepdims)
        return self.node(op, [x, self.constant(list(axes))], keepdims=keepdims)
