"""Nodes that make removed lanes neutral for one operator of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.graph.node import Node
from spa_onnx.ops.rule import Mixed, Neutral

Tensor = Any
"""A graph-surgeon tensor; the package has no types."""

FILL = {np.dtype(np.float16): 3e4}
"""Stand-in for infinity by type: large enough to vanish, small enough to stay finite."""

DEFAULT_FILL = 1e30

SKIP_EPSILON = 1e-12
"""Default epsilon of ONNX Runtime's SkipLayerNormalization."""

JITTER = 4.0
"""Units in the last place by which lanes are moved to measure rounding; sums reorder as much."""


class Writer:
    """Adds nodes to a graph-surgeon graph."""

    def __init__(self, graph: Any, version: int, jitter: np.random.Generator | None) -> None:
        self._graph, self._version, self._count, self._jitter = graph, version, 0, jitter
        self._prefix = f"spa_reference_{id(graph):x}"
        self.replaced: set[int] = set()

    def mask(
        self, node: Node, target: Any, mixed: Mixed, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        """Make the removed lanes of one input neutral for one operator."""
        x = target.inputs[mixed.input]
        match mixed.neutral:
            case Neutral.ZERO:
                target.inputs[mixed.input] = self._zeroed(x, mask, dtype)
            case Neutral.ONE:
                zeroed = self._zeroed(x, mask, dtype)
                target.inputs[mixed.input] = self.op(
                    "Add", [zeroed, self.constant((~mask).astype(dtype))]
                )
            case Neutral.LOWEST | Neutral.SOFTMAX:
                target.inputs[mixed.input] = self._filled(x, mask, dtype, -1)
            case Neutral.HIGHEST:
                target.inputs[mixed.input] = self._filled(x, mask, dtype, 1)
            case Neutral.ZERO_POINT:
                zero = target.inputs[mixed.zero_point]
                target.inputs[mixed.input] = self._chosen(x, mask, zero, dtype)
            case Neutral.SKIP_LAYER_NORM | Neutral.SKIP_RMS_NORM:
                self._skip_norm(node, target, mixed, mask, dtype)
            case Neutral.MEAN:
                target.inputs[mixed.input] = self._zeroed(x, mask, dtype)
                self._rescale(target, 1 / share_kept(mask, mixed.axes), dtype)
            case Neutral.LAYER_NORM | Neutral.RMS_NORM:
                self._layer_norm(node, target, mixed, mask, dtype)
            case Neutral.INSTANCE_NORM:
                self._instance_norm(node, target, mixed, mask, dtype)
            case Neutral.GROUP_NORM:
                self._group_norm(node, target, mask, dtype)
            case Neutral.EMBED_LAYER_NORM:
                self._embed_norm(node, target, mask, dtype)

    # -- pieces ---------------------------------------------------------------------------------

    def op(self, kind: str, inputs: Sequence[Tensor], **attributes: Any) -> Tensor:
        """Append a node and return its output."""
        self._count += 1
        output = gs.Variable(f"{self._prefix}_{self._count}")
        self._graph.nodes.append(
            gs.Node(kind, f"{self._prefix}_{self._count}", attributes, list(inputs), [output])
        )
        return output

    def constant(self, values: NDArray[Any]) -> Tensor:
        """Return a constant tensor."""
        self._count += 1
        return gs.Constant(f"{self._prefix}_{self._count}", np.array(values))

    def _zeroed(self, x: Tensor, mask: NDArray[np.bool_], dtype: np.dtype[Any]) -> Tensor:
        if dtype.kind == "b":
            return self.op("And", [x, self.constant(mask)])
        if dtype.kind in "iu" and dtype.itemsize < 4:  # integers that Mul does not know everywhere
            zero = self.constant(np.array(0, dtype))
            return self._chosen(x, mask, zero, dtype)
        factors = mask.astype(dtype)
        if self._jitter is not None and dtype.kind == "f":
            noise = self._jitter.uniform(-JITTER, JITTER, mask.shape) * np.finfo(dtype).eps
            factors = (mask * (1 + noise)).astype(dtype)
        return self.op("Mul", [x, self.constant(factors)])

    def _chosen(
        self, x: Tensor, mask: NDArray[np.bool_], other: Tensor, dtype: np.dtype[Any]
    ) -> Tensor:
        """Put another number into removed lanes; by way of int32, which every operator knows."""
        wide = [self.op("Cast", [t], to=onnx.TensorProto.INT32) for t in (x, other)]
        chosen = self.op("Where", [self.constant(mask), *wide])
        return self.op("Cast", [chosen], to=int(helper.np_dtype_to_tensor_dtype(dtype)))

    def _filled(
        self, x: Tensor, mask: NDArray[np.bool_], dtype: np.dtype[Any], sign: int
    ) -> Tensor:
        if dtype.kind in "iu":
            limit = np.iinfo(dtype)
            extreme = np.array(limit.max if sign > 0 else limit.min, dtype)
            return self.op("Where", [self.constant(mask), x, self.constant(extreme)])
        fill = sign * FILL.get(dtype, DEFAULT_FILL)
        return self.op("Add", [x, self.constant((~mask).astype(dtype) * np.array(fill, dtype))])

    def _rescale(self, target: Any, factor: float, dtype: np.dtype[Any]) -> None:
        """Multiply the node's output."""
        result = target.outputs[0]
        self._count += 1
        raw = gs.Variable(f"{self._prefix}_{self._count}")
        target.outputs[0] = raw
        scaled = self.op("Mul", [raw, self.constant(np.array(factor, dtype))])
        self._become(scaled, result)

    def _become(self, made: Tensor, result: Tensor) -> None:
        """Let ``made``'s node produce ``result`` instead."""
        made.inputs[0].outputs[0] = result

    def _mean(self, x: Tensor, axes: Sequence[int], share: float, dtype: np.dtype[Any]) -> Tensor:
        """Return the mean of a zeroed tensor over the lanes that stay."""
        if self._version >= 18:
            mean = self.op("ReduceMean", [x, self.constant(np.array(axes, np.int64))], keepdims=1)
        else:
            mean = self.op("ReduceMean", [x], axes=list(axes), keepdims=1)
        return self.op("Mul", [mean, self.constant(np.array(1 / share, dtype))])

    def _standardised(
        self,
        x: Tensor,
        mask: NDArray[np.bool_],
        axes: Sequence[int],
        centred: bool,
        epsilon: float,
        dtype: np.dtype[Any],
    ) -> list[Tensor]:
        """Return ``(x - mean) / sqrt(var + epsilon)``, the mean if centred, and ``1 / sqrt(...)``.

        Statistics are over the lanes that stay.
        """
        share = share_kept(mask, axes)
        zeroed = self._zeroed(x, mask, dtype)
        mean = [self._mean(zeroed, axes, share, dtype)] if centred else []
        if mean:
            zeroed = self._zeroed(self.op("Sub", [x, *mean]), mask, dtype)
        variance = self._mean(self.op("Mul", [zeroed, zeroed]), axes, share, dtype)
        shifted = self.op("Add", [variance, self.constant(np.array(epsilon, dtype))])
        deviation = self.op("Sqrt", [shifted])
        inverse = self.op("Reciprocal", [deviation])
        return [self.op("Div", [zeroed, deviation]), *mean, inverse]

    def _finish(
        self,
        target: Any,
        y: Tensor,
        scale: Tensor | None,
        bias: Tensor | None,
        statistics: Sequence[Tensor] = (),
    ) -> None:
        """Scale, shift and replace the node; its further outputs are the statistics."""
        result, *others = target.outputs
        if scale is not None:
            y = self.op("Mul", [y, scale])
        if bias is not None:
            y = self.op("Add", [y, bias])
        target.outputs.clear()
        target.inputs.clear()
        for made, other in zip(statistics, others, strict=False):
            if not other.name:
                continue
            self._become(self.op("Identity", [made]), other)
        self.replaced.add(id(target))
        self._become(y, result)

    # -- normalisations -----------------------------------------------------------------------

    def _layer_norm(
        self, node: Node, target: Any, mixed: Mixed, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        x, scale, *rest = target.inputs
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        centred = mixed.neutral is Neutral.LAYER_NORM
        y, *statistics = self._standardised(x, mask, mixed.axes, centred, epsilon, dtype)
        self._finish(target, y, scale, rest[0] if rest else None, statistics)

    def _skip_norm(
        self, node: Node, target: Any, mixed: Mixed, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        """Write the sum out and normalise it; the fourth output is the sum."""
        centred = mixed.neutral is Neutral.SKIP_LAYER_NORM
        x, skip, scale, *rest = target.inputs
        bias = rest[0] if centred and rest and rest[0].name else None
        added = rest[1 if centred else 0 :]
        total = self.op("Add", [x, skip])
        if added and added[0].name:
            total = self.op("Add", [total, added[0]])
        epsilon = float(node.attributes.get("epsilon", SKIP_EPSILON))
        y, *statistics = self._standardised(total, mask, mixed.axes, centred, epsilon, dtype)
        extra = [*statistics[:1], *statistics[-1:], total]
        self._finish(target, y, scale, bias, extra)

    def _embed_norm(
        self, node: Node, target: Any, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        """Look rows up, add them and normalise the sum; the node still makes the mask's index."""
        given = [*target.inputs, *[gs.Variable.empty()] * (9 - len(target.inputs))]
        words, segments, *tables, scale, bias, _, places = given
        if not places.name:
            shape = self.op("Shape", [words])
            last = self.constant(np.array([1], np.int64))
            length = self.op("Squeeze", [self.op("Gather", [shape, last], axis=0)])
            zero, one = (self.constant(np.array(n, np.int64)) for n in (0, 1))
            places = self.op("Range", [zero, length, one])
        total = self.op("Gather", [tables[0], words], axis=0)
        for table, rows in ((tables[1], places), (tables[2], segments)):
            if table.name:
                total = self.op("Add", [total, self.op("Gather", [table, rows], axis=0)])
        epsilon = float(node.attributes.get("epsilon", SKIP_EPSILON))
        y, *_ = self._standardised(total, mask.reshape(1, 1, -1), (2,), True, epsilon, dtype)
        y = self.op("Add", [self.op("Mul", [y, scale]), bias])
        for made, k in ((y, 0), (self.op("Identity", [total]), 2)):
            if k < len(target.outputs) and target.outputs[k].name:
                result = target.outputs[k]
                self._count += 1
                target.outputs[k] = gs.Variable(f"{self._prefix}_{self._count}")
                self._become(made, result)

    def _instance_norm(
        self, node: Node, target: Any, mixed: Mixed, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        plain = node.op == "MeanVarianceNormalization"
        epsilon = 1e-9 if plain else float(node.attributes.get("epsilon", 1e-5))
        x = target.inputs[0]
        y, *_ = self._standardised(x, mask, mixed.axes, True, epsilon, dtype)
        if plain:
            self._finish(target, y, None, None)
            return
        scale, bias = target.inputs[1:3]
        shape = self.constant(np.array([-1, *[1] * (mask.ndim - 2)], np.int64))
        self._finish(
            target, y, self.op("Reshape", [scale, shape]), self.op("Reshape", [bias, shape])
        )

    def _group_norm(
        self, node: Node, target: Any, mask: NDArray[np.bool_], dtype: np.dtype[Any]
    ) -> None:
        """Split channels into groups, standardise over lanes and positions, and join them again."""
        x, scale, bias = target.inputs
        groups, channels = node.integer("num_groups", 1), mask.size
        inside = channels // groups
        grouped = self.op(
            "Reshape", [x, self.constant(np.array([0, groups, inside, -1], np.int64))]
        )
        grouped_mask = mask.reshape(1, groups, inside, 1)
        alive = grouped_mask.any(axis=2, keepdims=True)
        pattern = grouped_mask[:, alive.reshape(-1)][
            :, :1
        ]  # groups that are gone need some statistics
        full = np.where(alive, grouped_mask, pattern)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        y, *_ = self._standardised(grouped, full, (2, 3), True, epsilon, dtype)
        y = self.op("Reshape", [y, self.op("Shape", [x])])
        per_group = node.version < 21
        repeat = np.repeat(np.arange(groups), inside) if per_group else np.arange(channels)
        rows = [self.op("Gather", [t, self.constant(repeat)], axis=0) for t in (scale, bias)]
        column = self.constant(np.array([-1, *[1] * (mask.ndim - 2)], np.int64))
        self._finish(target, y, *(self.op("Reshape", [row, column]) for row in rows))


def share_kept(mask: NDArray[np.bool_], axes: Sequence[int]) -> float:
    """Return the share of elements along ``axes`` that stay, the same for all other positions."""
    kept = mask.mean(axis=tuple(axes)).reshape(-1)
    positive = kept[kept > 0]
    return float(positive[0]) if len(positive) else 1.0
