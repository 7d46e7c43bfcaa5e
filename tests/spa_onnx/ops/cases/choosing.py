"""Operators that repeat, choose and place lanes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import numpy_helper

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, end, forms, image, rows, tokens
from tests.spa_onnx.untracked import shaped

Build = Callable[[GraphBuilder], str]

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


def _tile_by_one_hot(g: GraphBuilder) -> str:
    """Repeats of one axis, as exporters write them for an axis given by its number."""
    x = tokens(g)
    last = g.node("Slice", [g.node("Shape", [x]), g.constant([-2]), g.constant([-1])])
    ones_and_length = g.node("Concat", [g.constant([1]), last], axis=0)
    repeats = g.node("OneHot", [g.constant([-2]), g.constant(np.array(3)), ones_and_length])
    flat = g.reshape(repeats, (3,))
    return end(g, g.relu(g.node("Tile", [x, flat])))


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


def _triangle(of_tokens: bool, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        x = tokens(g) if of_tokens else image(g)
        return end(g, g.relu(g.node("Trilu", [x, g.constant(np.array(1))], **attributes)))

    return build


def _one_hot(axis: int) -> Build:
    """An embedding written as a product."""

    def build(g: GraphBuilder) -> str:
        ids = g.input("ids", (2, 5), np.int64)
        inputs = [ids, g.constant(np.array([20])), g.constant([0.0, 1.0])]
        y = g.node("OneHot", inputs, axis=axis)
        return end(g, g.relu(g.linear(g.transpose(y, 0, 2, 1) if axis == 1 else y, 8)))

    return build


def _one_hot_of_lanes(g: GraphBuilder) -> str:
    x = rows(g)
    best = g.node("ArgMax", [x], axis=1, keepdims=0)
    return end(g, g.mul(x, g.node("OneHot", [best, g.constant([8]), g.constant([0.1, 1.0])])))


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


def _gather_nd_rows(g: GraphBuilder) -> str:
    """An embedding, as the newer exporter writes some."""
    ids = g.input("ids", (2, 5), np.int64)
    places = g.node("Unsqueeze", [ids, g.constant([-1])])
    return end(g, g.relu(g.node("GatherND", [g.weight(20, 8), places])))


def _scatter_nd(g: GraphBuilder) -> str:
    x = tokens(g)
    updates = g.constant(g.random.uniform(0, 1, (3, 8)))
    return end(g, g.node("ScatterND", [x, g.constant([[0, 1], [1, 4], [0, 0]]), updates]))


def _scatter_lanes(indices: list[int]) -> Build:
    """Lanes of the first axis get other values: exporters write ``x[a:b] = y`` so."""

    def build(g: GraphBuilder) -> str:
        x = g.gemm(g.input("x", (2, 4)), 8)
        updates = g.weight(len(indices), fan_in=1)
        chosen = g.constant(np.array(indices)[:, None])
        bias = g.node("ScatterND", [g.bias(8), chosen, updates])
        return end(g, g.relu(g.add(x, bias)))

    return build


def _non_zero(g: GraphBuilder) -> str:
    x = tokens(g)
    found = g.node("NonZero", [x])
    return end(g, g.mul(x, g.reduce("ReduceSum", g.node("Cast", [found], to=1), 0, 1)))


def _range_by_non_zero(g: GraphBuilder) -> str:
    """Torch's script exporter writes ``arange`` as the positions of ones."""
    x = tokens(g)
    width = g.gather(g.node("Shape", [x]), [2], axis=0)
    ones = g.node("ConstantOfShape", [width], value=numpy_helper.from_array(np.array([1])))
    chosen = g.squeeze(g.node("NonZero", [ones]), 0)
    return end(g, shaped(g, g.node("Gather", [x, chosen], axis=2), (2, 5, 8)))


def _grid_sample(g: GraphBuilder) -> str:
    grid = g.constant(g.random.uniform(-0.9, 0.9, (2, 4, 5, 2)))
    return end(g, g.node("GridSample", [image(g), grid]))


def _roi_align(g: GraphBuilder) -> str:
    boxes = g.constant([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 5.0, 5.0], [0.0, 2.0, 3.0, 5.0]])
    inputs = [image(g), boxes, g.constant([0, 1, 1])]
    return end(g, g.node("RoiAlign", inputs, output_height=3, output_width=2))


SHUFFLED = [5, 0, 11, 3, 8, 1, 10, 2, 7, 4, 9, 6]
CASES = (
    *forms("Expand", "positions", (8, 13, NEWEST), _expand),
    *forms("Expand", "channels", (8, NEWEST), _expand_channels),
    *forms("Expand", "grouped queries", (13, NEWEST), _expand_heads),
    *forms("Tile", "positions", (7, 13, NEWEST), _tile(1, 1, 2, 2)),
    *forms("Tile", "channels", (7, NEWEST), _tile(1, 3, 1, 1)),
    *forms("Tile", "repeats by OneHot", (11, NEWEST), _tile_by_one_hot),
    *forms("ConstantOfShape", "channels", (9, 20, NEWEST), _constant_of_shape),
    *forms("ConstantOfShape", "as another", (9, NEWEST), _constant_of_its_shape),
    *forms("EyeLike", "matrix", (9, NEWEST), _eye_like, cut=False),
    *forms("Trilu", "upper triangle of positions", (14, NEWEST), _triangle(False)),
    *forms("Trilu", "lower triangle of positions", (14, NEWEST), _triangle(False, upper=0)),
    *forms("Trilu", "lanes", (14, NEWEST), _triangle(True), cut=False),
    *forms("OneHot", "last axis", (9, 11, NEWEST), _one_hot(-1)),
    *forms("OneHot", "axis in the middle", (9, 11, NEWEST), _one_hot(1)),
    *forms("OneHot", "lanes", (11, NEWEST), _one_hot_of_lanes),
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
    *forms("GatherElements", "positions", (11, NEWEST), _gather_elements),
    *forms("GatherND", "positions", (11, NEWEST), _gather_nd),
    *forms("GatherND", "in every batch", (12, NEWEST), _gather_nd_batch),
    *forms("GatherND", "embedding", (13, NEWEST), _gather_nd_rows),
    *forms("Scatter", "positions", (9,), _scatter("Scatter")),
    *forms("ScatterElements", "positions", (11, 18, NEWEST), _scatter("ScatterElements")),
    *forms("ScatterND", "positions", (11, 18, NEWEST), _scatter_nd),
    *forms("ScatterND", "a part", (11, 18, NEWEST), _scatter_lanes([2, 3, 4])),
    *forms("ScatterND", "from the end", (18,), _scatter_lanes([-3, -2, -1])),
    *forms("ScatterND", "some", (18,), _scatter_lanes([5, 0, 2])),
    *forms("ScatterND", "a lane twice", (18,), _scatter_lanes([5, 5, 2]), cut=False),
    *forms("NonZero", "lanes of a mask", (9, 13, NEWEST), _non_zero, cut=False),
    *forms("NonZero", "a range", (9, 13, NEWEST), _range_by_non_zero),
    *forms("GridSample", "positions", (16, 20, NEWEST), _grid_sample),
    *forms("RoiAlign", "regions", (10, 16, 21), _roi_align),
)
