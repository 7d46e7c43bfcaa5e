"""Operators that move, join, repeat and choose lanes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, end, forms, image, rows, tokens

Build = Callable[[GraphBuilder], str]

# -- Reshape, Flatten, Squeeze, Unsqueeze, Transpose -----------------------------------------------


def _reshape(*shape: int, allowzero: int | None = None) -> Build:
    def build(g: GraphBuilder) -> str:
        y = g.node("Reshape", [g.relu(image(g)), g.constant(list(shape))], allowzero=allowzero)
        return end(g, y)

    return build


def _grouped_and_back(g: GraphBuilder) -> str:
    """A channel shuffle."""
    x = g.reshape(image(g), (0, 2, 4, 6, 6))
    return end(g, g.reshape(g.transpose(x, 0, 2, 1, 3, 4), (0, 8, 6, 6)))


def _shape_arithmetic(g: GraphBuilder) -> str:
    x = g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3)
    batch = g.gather(g.node("Shape", [x]), [0], axis=0)
    shape = g.concat(batch, g.constant([8 * 36]), axis=0)
    return g.gemm(g.node("Reshape", [x, shape]), 3)


def _flatten(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = rows(g) if axis == 0 else g.relu(image(g))
        y = g.flatten(x, axis)
        return end(g, y)

    return build


def _squeeze(named: bool) -> Build:
    def build(g: GraphBuilder) -> str:
        x = g.global_average_pool(image(g))
        return end(g, g.squeeze(x, 2, 3) if named else g.node("Squeeze", [x]))

    return build


def _unsqueeze(*axes: int) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.unsqueeze(tokens(g), *axes))

    return build


def _transpose(*perm: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        y = g.transpose(x, *perm) if perm else g.node("Transpose", [x])
        return g.conv(y, 3) if perm else end(g, g.transpose(y, 2, 1, 0))

    return build


# -- Concat, Split ---------------------------------------------------------------------------------


def _concat(axis: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        return end(g, g.concat(g.relu(x), g.conv(x, 5), g.tanh(x), axis=axis))

    return build


def _split(sizes: Sequence[int], axis: int = 1) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        parts = g.split(x, sizes, axis)
        return g.add(end(g, parts[0]), end(g, g.relu(parts[1])))

    return build


def _split_default(width: int = 8, count: int = 2, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        parts = g.node("Split", [image(g, width)], count, axis=1, **attributes)
        return g.add(end(g, parts[0]), end(g, parts[-1]))

    return build


def _gated(g: GraphBuilder) -> str:
    """GLU: both halves keep the same lanes."""
    a, b = g.node("Split", [tokens(g)], 2, axis=-1)
    return end(g, g.mul(a, g.sigmoid(b)))


# -- Slice, Pad ------------------------------------------------------------------------------------


def _slice(start: int, stop: int | None, step: int = 1, axis: int = 1) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.slice(g.relu(image(g)), start, stop, axis=axis, step=step))

    return build


def _slice_without_axes(g: GraphBuilder) -> str:
    x = g.relu(image(g))
    if g.opset < 10:
        return end(g, g.node("Slice", [x], starts=[0, 2], ends=[2, 7]))
    return end(g, g.node("Slice", [x, g.constant([0, 2]), g.constant([2, 7])]))


def _pad(channels: tuple[int, int], spatial: tuple[int, int] = (0, 0), **more: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        pads = [0, channels[0], *spatial, 0, channels[1], *spatial]
        if g.opset < 11:
            return end(g, g.node("Pad", [x], pads=pads, **more))
        return end(g, g.node("Pad", [x, g.constant(pads)], **more))

    return build


def _pad_named_axes(g: GraphBuilder) -> str:
    inputs = [image(g), g.constant([2, 1]), "", g.constant([-3])]
    return end(g, g.node("Pad", inputs))


def _padded_shortcut(g: GraphBuilder) -> str:
    x = image(g)
    return end(g, g.relu(g.add(g.pad(x, {1: (2, 2)}), g.conv(x, 12, 3))))


# -- Expand, Tile, ConstantOfShape, EyeLike, Range -------------------------------------------------


def _expand(g: GraphBuilder) -> str:
    x = g.global_average_pool(image(g))
    return end(g, g.relu(g.expand(x, (1, 1, 4, 4))))


def _expand_channels(g: GraphBuilder) -> str:
    x = image(g)
    return end(g, g.relu(g.add(x, g.expand(g.constant([[[[0.3]]]]), (1, 8, 1, 1)))))


def _expand_heads(g: GraphBuilder) -> str:
    """Grouped queries: two heads of keys serve four of queries."""
    x = tokens(g)
    key = g.reshape(g.linear(x, 8), (2, 5, 2, 1, 4))
    heads = g.reshape(g.expand(key, (2, 5, 2, 2, 4)), (2, 5, 16))
    return end(g, g.mul(heads, g.linear(x, 16)))


def _tile(*repeats: int) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.relu(g.node("Tile", [image(g), g.constant(list(repeats))])))

    return build


def _constant_of_shape(g: GraphBuilder) -> str:
    x = image(g)
    ones = g.node("ConstantOfShape", [g.constant([1, 8, 1, 1])])
    return end(g, g.relu(g.add(x, g.add(ones, g.constant(0.2)))))


def _constant_of_its_shape(g: GraphBuilder) -> str:
    x = image(g)
    zeros = g.node("ConstantOfShape", [g.node("Shape", [x])])
    return end(g, g.relu(g.add(x, g.add(zeros, g.constant(0.2)))))


def _eye_like(g: GraphBuilder) -> str:
    x = rows(g)
    square = g.node("EyeLike", [g.weight(8, 8)])
    return end(g, g.relu(g.add(g.matmul(x, square), x)))


def _range(g: GraphBuilder) -> str:
    x = g.linear(g.input("x", ("N", "T", 4)), 8)
    length = g.gather(g.node("Shape", [x]), 1, axis=0)
    positions = g.node("Range", [g.constant(0), length, g.constant(1)])
    table = g.embedding(positions, 30, 8)
    return g.linear(g.add(x, table), 3)


# -- Gather and its kin ----------------------------------------------------------------------------


def _gather(indices: Any, axis: int = 1) -> Build:
    def build(g: GraphBuilder) -> str:
        return end(g, g.relu(g.gather(image(g, 12), indices, axis)))

    return build


def _gather_one(index: int) -> Build:
    def build(g: GraphBuilder) -> str:
        x = image(g)
        one = g.unsqueeze(g.gather(x, index), 1)
        return end(g, g.mul(x, one))

    return build


def _embedding(g: GraphBuilder) -> str:
    x = g.embedding(g.input("ids", (2, 5), np.int64), 20, 8)
    return end(g, g.relu(x))


def _gather_as_reshape(g: GraphBuilder) -> str:
    """Newer exporters write reshape and permute of one axis as a Gather of rank two."""
    grid = np.arange(12).reshape(3, 4).T
    x = g.gather(g.linear(g.input("x", (2, 5, 4)), 12), grid, axis=2)
    return end(g, g.relu(g.reshape(x, (0, 0, 12))))


def _gather_elements(g: GraphBuilder) -> str:
    x = tokens(g)
    indices = g.constant(g.random.integers(0, 5, (2, 5, 8)))
    return end(g, g.node("GatherElements", [x, indices], axis=1))


def _gather_nd(g: GraphBuilder) -> str:
    x = tokens(g)
    return end(g, g.node("GatherND", [x, g.constant([[0, 1], [1, 4], [0, 0]])]))


def _gather_nd_batch(g: GraphBuilder) -> str:
    x = tokens(g)
    return end(g, g.node("GatherND", [x, g.constant([[1], [4]])], batch_dims=1))


def _scatter(op: str) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g)
        indices = g.constant(g.random.integers(0, 5, (2, 2, 8)))
        updates = g.constant(g.random.uniform(0, 1, (2, 2, 8)))
        return end(g, g.node(op, [x, indices, updates], axis=1))

    return build


def _scatter_nd(g: GraphBuilder) -> str:
    x = tokens(g)
    updates = g.constant(g.random.uniform(0, 1, (3, 8)))
    return end(g, g.node("ScatterND", [x, g.constant([[0, 1], [1, 4], [0, 0]]), updates]))


def _grid_sample(g: GraphBuilder) -> str:
    grid = g.constant(g.random.uniform(-0.9, 0.9, (2, 4, 5, 2)))
    return end(g, g.node("GridSample", [image(g), grid]))


def _roi_align(g: GraphBuilder) -> str:
    boxes = g.constant([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 5.0, 5.0], [0.0, 2.0, 3.0, 5.0]])
    inputs = [image(g), boxes, g.constant([0, 1, 1])]
    return end(g, g.node("RoiAlign", inputs, output_height=3, output_width=2))


SHUFFLED = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
CASES = (
    *forms("Reshape", "flattened", (7, 13, NEWEST), _reshape(2, 288)),
    *forms("Reshape", "copy and rest", (7, 14, NEWEST), _reshape(0, -1)),
    *forms("Reshape", "rest in front", (7,), _reshape(-1, 288)),
    *forms("Reshape", "to tokens", (7, NEWEST), _reshape(0, 0, 36), cut=False),
    *forms("Reshape", "zero is allowed", (14, NEWEST), _reshape(2, 8, 36, 1, allowzero=1)),
    *forms("Reshape", "channel shuffle", (7, NEWEST), _grouped_and_back),
    *forms("Reshape", "computed shape", (13, NEWEST), _shape_arithmetic),
    *forms("Flatten", "images", (7, 9, 13, NEWEST), _flatten(1)),
    *forms("Flatten", "from the back", (11, NEWEST), _flatten(-3)),
    *forms("Flatten", "everything", (9,), _flatten(0)),
    *forms("Squeeze", "named", (7, 11, 13, NEWEST), _squeeze(True)),
    *forms("Squeeze", "all", (7, 11, 13, NEWEST), _squeeze(False)),
    *forms("Unsqueeze", "in front", (7, 13, NEWEST), _unsqueeze(0), cut=False),
    *forms("Unsqueeze", "image of one row", (11, 13), _unsqueeze(-3), cut=False),
    *forms("Transpose", "channels first", (7, NEWEST), _transpose(0, 2, 1)),
    *forms("Transpose", "reversed", (7, NEWEST), _transpose()),
    *forms("Concat", "channels", (7, 13, NEWEST), _concat(1)),
    *forms("Concat", "from the back", (11, NEWEST), _concat(-3)),
    *forms("Split", "sizes", (7, 11, 13, NEWEST), _split([3, 5])),
    *forms("Split", "from the back", (11, 13), _split([3, 5], -3)),
    *forms("Split", "equal parts", (7, 11, 13), _split_default()),
    *forms("Split", "number of parts", (18, NEWEST), _split_default(num_outputs=2)),
    *forms("Split", "uneven last part", (18, NEWEST), _split_default(8, 3, num_outputs=3)),
    *forms("Split", "gated", (7, 13), _gated),
    *forms("Slice", "front", (7, 10, 13, NEWEST), _slice(0, 5)),
    *forms("Slice", "to the end", (7, 10, 13, NEWEST), _slice(3, None)),
    *forms("Slice", "negative", (7, 10, NEWEST), _slice(-6, -1)),
    *forms("Slice", "from the back", (10, 13), _slice(2, 8, axis=-3)),
    *forms("Slice", "beyond the end", (7, 10), _slice(2, 99)),
    *forms("Slice", "every second", (10, NEWEST), _slice(1, None, 2)),
    *forms("Slice", "every second counted from the end", (10,), _slice(-7, None, 2)),
    *forms("Slice", "reversed", (10, NEWEST), _slice(-1, None, -1)),
    *forms("Slice", "every second backwards", (10,), _slice(-1, None, -2), cut=False),
    *forms("Slice", "without axes", (7, 10, NEWEST), _slice_without_axes),
    *forms("Slice", "positions", (7, 13), _slice(1, 4, axis=2)),
    *forms("Pad", "channels", (7, 11, 13, NEWEST), _pad((2, 1))),
    *forms("Pad", "positions", (7, 11, NEWEST), _pad((0, 0), (1, 2))),
    *forms("Pad", "reflected positions", (11,), _pad((0, 0), (1, 1), mode="reflect")),
    *forms("Pad", "reflected channels", (11,), _pad((1, 1), mode="reflect"), cut=False),
    *forms("Pad", "negative channels", (11,), _pad((-1, 0)), cut=False),
    *forms("Pad", "named axes", (18, NEWEST), _pad_named_axes),
    *forms("Pad", "shortcut", (7, 11, NEWEST), _padded_shortcut),
    *forms("Expand", "positions", (8, 13, NEWEST), _expand),
    *forms("Expand", "channels", (8, NEWEST), _expand_channels),
    *forms("Expand", "grouped queries", (13, NEWEST), _expand_heads),
    *forms("Tile", "positions", (7, 13, NEWEST), _tile(1, 1, 2, 2)),
    *forms("Tile", "channels", (7, NEWEST), _tile(1, 3, 1, 1)),
    *forms("ConstantOfShape", "channels", (9, 20, NEWEST), _constant_of_shape),
    *forms("ConstantOfShape", "as another", (9, NEWEST), _constant_of_its_shape),
    *forms("EyeLike", "matrix", (9, NEWEST), _eye_like, cut=False),
    *forms("Range", "positions", (11, NEWEST), _range),
    *forms("Gather", "run", (7, NEWEST), _gather([2, 3, 4, 5, 6])),
    *forms("Gather", "from the back", (11, NEWEST), _gather([-12, -11, -2, -1], -3)),
    *forms("Gather", "permutation", (7, NEWEST), _gather(SHUFFLED)),
    *forms("Gather", "choice", (7, 13), _gather(SHUFFLED[:10])),
    *forms("Gather", "repeated", (7, 13), _gather(np.repeat(np.arange(12), 2))),
    *forms("Gather", "tiled", (7, 13), _gather(np.tile(np.arange(12), 2))),
    *forms(
        "Gather",
        "irregular repeats",
        (13,),
        _gather([0, 5, 0, 9, 3, 3, 7, 1, 2, 8, 1, 11, 0]),
        cut=False,
    ),
    *forms("Gather", "one lane", (7, 13, NEWEST), _gather_one(3)),
    *forms("Gather", "last lane", (11, NEWEST), _gather_one(-1)),
    *forms("Gather", "as reshape", (7, NEWEST), _gather_as_reshape),
    *forms("Gather", "embedding", (7, 13, NEWEST), _embedding),
    *forms("GatherElements", "positions", (11, NEWEST), _gather_elements, cut=False),
    *forms("GatherND", "positions", (11, NEWEST), _gather_nd),
    *forms("GatherND", "in every batch", (12, NEWEST), _gather_nd_batch),
    *forms("Scatter", "positions", (9,), _scatter("Scatter"), cut=False),
    *forms(
        "ScatterElements", "positions", (11, 18, NEWEST), _scatter("ScatterElements"), cut=False
    ),
    *forms("ScatterND", "positions", (11, 18, NEWEST), _scatter_nd),
    *forms("GridSample", "positions", (16, 20, NEWEST), _grid_sample),
    *forms("RoiAlign", "regions", (10, 16, 21), _roi_align),
)
