"""The list of all operators that the flow gets through, layers apart.

The flow is not negative, so activations that grow from zero keep it. Biases and other stored
summands are dropped: they would make the network's degree another than one. Softmax and sigmoids
count as activations; what is divided by counts as one, as statistics of a normalisation do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from spa_onnx.algebra.expression import dims_in
from spa_onnx.flow import moving
from spa_onnx.flow.spot import BlockedError, Edge, Spot, number
from spa_onnx.flow.values import FloatArray, Flow

Rule = Callable[[Spot], Iterator[Edge]]


def activation(spot: Spot) -> Iterator[Edge]:
    """Pass what arrives at the first input."""
    yield spot.identity(0)


def nothing(spot: Spot) -> Iterator[Edge]:
    """Pass nothing: what is made of the input counts as one wherever it is multiplied."""
    return iter(())


def addition(spot: Spot) -> Iterator[Edge]:
    """Add what arrives, differences and larger ones of two as well."""
    for k, name in enumerate(spot.node.inputs):
        if name in spot.flows:
            yield spot.identity(k)


def multiplication(spot: Spot) -> Iterator[Edge]:
    """Multiply with a constant by absolute value, or meet another activation half way.

    The product of two activations is of degree two. Its root is of degree one, ``y = sqrt(a b)``:
    either side carries half of the flow, in the proportions of the product.
    """
    given = [k for k in (0, 1) if spot.name(k) in spot.flows]
    if len(given) < 2:
        for k in given:
            constant = spot.constant(1 - k)
            yield spot.identity(k) if constant is None else scaled(spot, k, constant)
        return
    sides = [spot.flows[spot.name(k)] for k in given]
    whole = sides[0].times(sides[1]).root()
    half = Flow(whole.values, whole.exponent - 1)
    for k, side in zip(given, sides, strict=True):
        yield Edge(spot.name(k), spot.node.outputs[0], half, _share(half, side))


def _share(half: Flow, side: Flow) -> Callable[[Flow], Flow]:
    return lambda g: g.times(half).over(side).to_shape(side.values.shape)


def matrix_product(spot: Spot) -> Iterator[Edge]:
    """Multiply two activations, ``Y = sqrt(A B)`` entry by entry; see :func:`multiplication`.

    A side without flow is a constant, or counts as one. Then ``Y = A B``, of degree one already.
    """
    sides = [_side(spot, k) for k in (0, 1)]
    length = max(sides[0].values.shape[-1], sides[1].values.shape[-2])
    left = np.broadcast_to(sides[0].values, (*sides[0].values.shape[:-1], length))
    shape = sides[1].values.shape
    right = np.broadcast_to(sides[1].values, (*shape[:-2], length, shape[-1]))
    product = Flow.of(left @ right, sides[0].exponent + sides[1].exponent)
    made = product
    given = [k for k in (0, 1) if spot.flow(k) is not None]
    if len(given) == 2:
        root = product.root()
        made = Flow(root.values, root.exponent - 1)

    def pull_left(g: Flow) -> Flow:
        inner = g.times(made).over(product)
        back = inner.values @ right.swapaxes(-1, -2)
        return Flow.of(back, inner.exponent + sides[1].exponent).to_shape(sides[0].values.shape)

    def pull_right(g: Flow) -> Flow:
        inner = g.times(made).over(product)
        back = left.swapaxes(-1, -2) @ inner.values
        return Flow.of(back, inner.exponent + sides[0].exponent).to_shape(shape)

    for k in given:
        yield Edge(spot.name(k), spot.node.outputs[0], made, (pull_left, pull_right)[k])


def _side(spot: Spot, position: int) -> Flow:
    """Return what is multiplied.

    Raises:
        BlockedError: it is a vector.
    """
    side = spot.flow(position)
    if side is None:
        constant = spot.constant(position)
        rank = len(spot.axes(spot.name(position)))
        side = Flow.of(np.ones((1,) * rank) if constant is None else constant)
    if side.values.ndim < 2:
        raise BlockedError
    return side


def division(spot: Spot) -> Iterator[Edge]:
    """Pass the dividend, over the divisor where it is stored."""
    if spot.flow(0) is None:
        return
    divisor = None if spot.name(1) in spot.flows else spot.constant(1)
    if divisor is None:
        yield spot.identity(0)
        return
    held = divisor > 0
    yield scaled(spot, 0, np.divide(1.0, divisor, out=np.zeros_like(divisor), where=held))


def scaled(spot: Spot, position: int, factor: FloatArray, output: int = 0) -> Edge:
    """Return the edge that multiplies; along axes without lanes a factor counts by its mean.

    Raises:
        BlockedError: the ranks do not fit.
    """
    flow = spot.flow(position)
    axes = spot.axes(spot.node.outputs[output])
    if flow is None or factor.ndim > len(axes):
        raise BlockedError
    held = (1,) * (len(axes) - flow.values.ndim) + flow.values.shape
    front = len(axes) - factor.ndim
    apart = [not dims_in(e) and n == 1 for e, n in zip(axes, held, strict=True)][front:]
    mean = factor.mean(axis=tuple(np.flatnonzero(apart)), keepdims=True)
    return spot.linear(position, lambda x: x * mean, lambda g: g * mean, output)


def batch_normalisation(spot: Spot) -> Iterator[Edge]:
    """Multiply with ``|scale| / sqrt(variance + epsilon)``."""
    scale, variance = spot.constant(1), spot.constant(4)
    if scale is None or variance is None:
        raise BlockedError
    epsilon = float(spot.node.attributes.get("epsilon", 1e-5))
    yield _by_channel(spot, scale / np.sqrt(variance + epsilon))


def channel_normalisation(spot: Spot) -> Iterator[Edge]:
    """Multiply with the scale of every channel, or of its group; statistics count as one."""
    scale = spot.constant(1)
    channels = spot.length(spot.name(0), 1)
    if scale is None or channels < scale.size:
        raise BlockedError
    yield _by_channel(spot, np.repeat(scale, channels // scale.size))


def _by_channel(spot: Spot, factor: FloatArray) -> Edge:
    behind = len(spot.shape(spot.name(0))) - 2
    return scaled(spot, 0, factor.reshape(-1, *[1] * behind))


def layer_normalisation(spot: Spot) -> Iterator[Edge]:
    """Multiply with the scale along the last axes; statistics count as one."""
    scale = spot.constant(1)
    yield spot.identity(0) if scale is None else scaled(spot, 0, scale)


def normalised_sum(spot: Spot) -> Iterator[Edge]:
    """Add a skip connection in front of a normalisation; the fourth output is the sum."""
    scale = spot.constant(2)
    if scale is None:
        raise BlockedError
    for k in (0, 1):
        if spot.flow(k) is None:
            continue
        yield scaled(spot, k, scale)
        if len(spot.node.outputs) > 3 and spot.node.outputs[3]:
            yield spot.identity(k, 3)


def pooling(spot: Spot) -> Iterator[Edge]:
    """Average over positions, largest ones too: where the flow is constant they are the mean."""
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    yield _mean(spot, tuple(range(2, flow.values.ndim)))


def resampling(spot: Spot) -> Iterator[Edge]:
    """Average over axes whose lengths change."""
    before, after = spot.shape(spot.name(0)), spot.shape(spot.node.outputs[0])
    yield _mean(spot, tuple(k for k, n in enumerate(before) if n != after[k]))


def _mean(spot: Spot, over: tuple[int, ...]) -> Edge:
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    shape = flow.values.shape
    count = int(np.prod([shape[k] for k in over]))
    return spot.linear(
        0, lambda x: x.mean(axis=over, keepdims=True), lambda g: np.broadcast_to(g, shape) / count
    )


def reduction(spot: Spot) -> Iterator[Edge]:
    """Sum or average over axes, every norm and extreme as an average."""
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    shape = flow.values.shape
    named = spot.integers(1, "axes")
    if not named and spot.node.integer("noop_with_empty_axes", 0):
        yield spot.identity(0)
        return
    over = tuple(k % len(shape) for k in named or range(len(shape)))
    factor = 1.0 / float(np.prod([shape[k] for k in over]))
    if spot.node.op == "ReduceSum":
        lengths = spot.shape(spot.name(0))
        alone = [number(lengths[k]) for k in over if shape[k] == 1 and isinstance(lengths[k], int)]
        factor = float(np.prod(alone))
    inner = tuple(1 if k in over else n for k, n in enumerate(shape))
    keep = spot.node.integer("keepdims", 1)
    made = inner if keep else tuple(n for k, n in enumerate(shape) if k not in over)
    yield spot.linear(
        0,
        lambda x: x.sum(axis=over, keepdims=True).reshape(made) * factor,
        lambda g: np.broadcast_to(g.reshape(inner), shape) * factor,
    )


# fmt: off
ACTIVATIONS = (
    "Abs", "Atan", "Cast", "CastLike", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp",
    "Gelu", "HardSigmoid", "HardSwish", "Identity", "LRN", "LeakyRelu", "LogSoftmax",
    "LpNormalization", "MeanVarianceNormalization", "Mish", "Neg", "PRelu", "Pow", "Relu",
    "Selu", "Sigmoid", "Sin", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh",
    "ThresholdedRelu", "Trilu", "com.microsoft::BiasGelu", "com.microsoft::FastGelu",
    "com.microsoft::Gelu", "com.microsoft::QuickGelu",
)
POOLS = (
    "AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool",
)
REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare",
)
# fmt: on

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(ACTIVATIONS, activation),
    **dict.fromkeys(POOLS, pooling),
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean", "Max", "Min", "Where"), addition),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), moving.reshape),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layer_normalisation),
    "SimplifiedLayerNormalization": layer_normalisation,
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), channel_normalisation),
    "BatchNormalization": batch_normalisation,
    "com.microsoft::SkipLayerNormalization": normalised_sum,
    "com.microsoft::SkipSimplifiedLayerNormalization": normalised_sum,
    **dict.fromkeys(("Resize", "Upsample"), resampling),
    "Concat": moving.concat,
    "DepthToSpace": moving.to_space,
    "Div": division,
    "Expand": moving.expand,
    "Gather": moving.gather,
    "MatMul": matrix_product,
    "Mul": multiplication,
    "Pad": moving.pad,
    "Reciprocal": nothing,
    "Shape": nothing,
    "Size": nothing,
    "Slice": moving.slices,
    "SpaceToDepth": moving.to_depth,
    "Split": moving.split,
    "Tile": moving.tile,
    "Transpose": moving.transpose,
}
