"""Operators that regroup, join, split and cut lanes."""

from collections.abc import Callable, Sequence
from typing import Any

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
)
