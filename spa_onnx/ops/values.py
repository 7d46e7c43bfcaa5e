"""Arithmetic on shapes: small integer tensors evaluated before run time, symbols included.

Shape subgraphs (Shape, Gather, Mul, Concat, Reshape) are followed by value, not only by shape. An
entry is a number or a polynomial in the symbols of dynamic axes; arrays that hold one have dtype
object. The same function runs on the original lengths in the analysis and on the new lengths in
the rewriter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.algebra.size import Polynomial, Size, compare, product
from spa_onnx.graph.node import Node

Value = NDArray[Any]
"""Known contents of a tensor; dtype object where an entry is symbolic."""

LARGEST = 4096
"""Elements up to which values are followed; shapes and masks of exporters are far smaller."""


WITH_OPTIONAL = frozenset(
    ("Clip", "Slice", "Squeeze", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum")
)
"""Operators of which inputs behind the first may be left out."""


class UnknownValueError(Exception):
    """The value cannot be told before run time."""


def evaluate(
    node: Node, values: Sequence[Value | None], shape: Sequence[Size] | None
) -> Value | None:
    """Return the node's first output, or None where it cannot be told.

    Args:
        node: the operator.
        values: known inputs; None for unknown ones and for inputs left out.
        shape: shape of the first input, for Shape and Size.
    """
    if node.op in ("Shape", "Size"):
        return None if shape is None else _shape(node, shape)
    function = FUNCTIONS.get(node.op)
    if function is None or len(node.outputs) != 1 or not node.inputs:
        return None
    optional = range(1, 5) if node.op in WITH_OPTIONAL else ()
    for k, (name, value) in enumerate(zip(node.inputs, values, strict=True)):
        if value is None and (name or k not in optional):
            return None
    try:
        with np.errstate(all="ignore"):
            result = function(node, list(values))
    except (
        UnknownValueError,
        ValueError,
        IndexError,
        TypeError,
        KeyError,
        OverflowError,
        ZeroDivisionError,
    ):
        return None  # whatever is wrong with it, ONNX Runtime will say it better
    return tidy(np.asarray(result)) if np.size(result) <= LARGEST else None


def tidy(value: Value) -> Value:
    """Return an object array as integers when no entry is symbolic."""
    if value.dtype == object and not any(isinstance(v, Polynomial) for v in value.flat):
        return np.array([int(v) for v in value.flat], np.int64).reshape(value.shape)
    return value


def is_symbolic(value: Value) -> bool:
    """Say whether an entry depends on a dynamic axis."""
    return value.dtype == object


def vector(entries: Sequence[Size]) -> Value:
    """Return a one-dimensional value."""
    result = np.empty(len(entries), object)
    result[:] = list(entries)
    return tidy(result)


def _shape(node: Node, shape: Sequence[Size]) -> Value:
    if node.op == "Size":
        return tidy(np.array(product(shape), object))
    end = node.attributes.get("end")
    return vector(list(shape)[node.integer("start", 0) : None if end is None else int(end)])


def _numbers(value: Value | None) -> list[int]:
    if value is None or is_symbolic(value):
        raise UnknownValueError
    return [int(n) for n in np.ravel(value)]


def _axes(node: Node, values: Sequence[Value | None], position: int = 1) -> list[int] | None:
    if len(values) > position and values[position] is not None:
        return _numbers(values[position])
    return node.ints("axes") or None


def _cast(node: Node, values: list[Any]) -> Any:
    dtype = helper.tensor_dtype_to_np_dtype(node.integer("to", 1))
    if is_symbolic(values[0]):
        if dtype.kind not in "iu":
            raise UnknownValueError
        return values[0]
    return values[0].astype(dtype)


def _slice(node: Node, values: list[Any]) -> Any:
    data = values[0]
    if node.version < 10:
        starts, ends = node.ints("starts"), node.ints("ends")
        axes, steps = node.ints("axes", list(range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = _numbers(values[1]), _numbers(values[2])
        axes = _axes(node, values, 3) or list(range(len(starts)))
        steps = (
            _numbers(values[4]) if len(values) > 4 and values[4] is not None else [1] * len(starts)
        )
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return data[tuple(index)]


def _reshape(_: Node, values: list[Any]) -> Any:
    data = values[0]
    shape = [data.shape[k] if n == 0 else n for k, n in enumerate(_numbers(values[1]))]
    return data.reshape(shape)


def _squeeze(node: Node, values: list[Any]) -> Any:
    axes = _axes(node, values)
    return np.squeeze(values[0], None if axes is None else tuple(axes))


def _bounded(shape: Sequence[int]) -> list[int]:
    if product(shape) > LARGEST:  # type: ignore[operator]
        raise UnknownValueError
    return list(shape)


def _expand(_: Node, values: list[Any]) -> Value:
    shape = np.broadcast_shapes(values[0].shape, tuple(_bounded(_numbers(values[1]))))
    return np.broadcast_to(values[0], _bounded(shape)).copy()


def _constant_of_shape(node: Node, values: list[Any]) -> Value:
    from onnx import numpy_helper

    fill = node.attributes.get("value")
    filling = np.zeros(1, np.float32) if fill is None else numpy_helper.to_array(fill)
    return np.full(_bounded(_numbers(values[0])), filling.reshape(-1)[0])


def _range(_: Node, values: list[Any]) -> Value:
    if any(map(is_symbolic, values)):
        raise UnknownValueError
    start, limit, step = (v.reshape(-1)[0] for v in values)
    if abs((limit - start) / step) > LARGEST:
        raise UnknownValueError
    return np.arange(start, limit, step).astype(values[0].dtype)


def _reduce(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Any]:
    def run(node: Node, values: list[Any]) -> Value:
        axes = _axes(node, values)
        where = None if axes is None else tuple(axes)
        return np.asarray(
            function(values[0], axis=where, keepdims=bool(node.integer("keepdims", 1)))
        )

    return run


def _divide(_: Node, values: list[Any]) -> Any:
    a, b = values
    if a.dtype.kind in "iuO" and b.dtype.kind in "iuO":
        return a // b
    return (a / b).astype(a.dtype)


def _compared(accept: Callable[[int], bool]) -> Callable[[Node, list[Any]], Any]:
    def one(a: Any, b: Any) -> bool:
        order = compare(a, b)
        if order is None:
            raise UnknownValueError
        return accept(order)

    def run(_: Node, values: list[Any]) -> Value:
        a, b = np.broadcast_arrays(*values)
        if is_symbolic(a) or is_symbolic(b):
            return np.array([one(p, q) for p, q in zip(a.flat, b.flat, strict=True)], bool).reshape(
                a.shape
            )
        return np.asarray(
            [accept(int(n)) for n in np.sign(np.subtract(a, b, dtype=np.float64)).flat]
        ).reshape(a.shape)

    return run


def _at_least_one(a: Any, b: Any) -> int:
    """Compare a dynamic length with one, which no length that a model runs at is below."""
    for x, y, sign in ((a, b, 1), (b, a, -1)):
        grows = isinstance(x, Polynomial) and all(n > 0 for _, n in x.terms)
        if grows and isinstance(y, int | np.integer) and y == 1:
            return sign
    raise UnknownValueError


def _extreme(sign: int) -> Callable[[Node, list[Any]], Any]:
    def one(a: Any, b: Any) -> Any:
        order = compare(a, b)
        if order is None:
            order = _at_least_one(a, b)
        return a if order * sign >= 0 else b

    def run(_: Node, values: list[Any]) -> Value:
        result = values[0]
        for other in values[1:]:
            if is_symbolic(result) or is_symbolic(other):
                result = np.vectorize(one, otypes=[object])(result, other)
            else:
                result = np.maximum(result, other) if sign > 0 else np.minimum(result, other)
        return np.asarray(result)

    return run


def _plain(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Any]:
    """Wrap a numpy function that must not see symbols, keeping the first operand's type."""

    def run(_: Node, values: list[Any]) -> Any:
        if any(map(is_symbolic, values)):
            raise UnknownValueError
        result = np.asarray(function(*values))
        return result if result.dtype == bool else result.astype(values[0].dtype)

    return run


def _arithmetic(function: Callable[..., Any]) -> Callable[[Node, list[Any]], Any]:
    def run(_: Node, values: list[Any]) -> Value:
        result = np.asarray(function(*values))
        return result if result.dtype == object else result.astype(values[0].dtype)

    return run


def _clip(node: Node, values: list[Any]) -> Any:
    if any(v is not None and is_symbolic(v) for v in values):
        raise UnknownValueError
    low = values[1] if len(values) > 1 else node.attributes.get("min")
    high = values[2] if len(values) > 2 else node.attributes.get("max")
    clipped = values[0] if low is None else np.maximum(values[0], low)
    clipped = clipped if high is None else np.minimum(clipped, high)
    return np.asarray(clipped).astype(values[0].dtype)


def _one_hot(node: Node, values: list[Any]) -> Any:
    indices, depth, off_and_on = values
    count = int(_numbers(depth)[0])
    places = np.array(_numbers(indices)).reshape(indices.shape)
    hot = np.arange(count) == np.where(places < 0, places + count, places)[..., None]
    return np.where(np.moveaxis(hot, -1, node.integer("axis", -1)), off_and_on[1], off_and_on[0])


def _non_zero(_: Node, values: list[Any]) -> Any:
    """Return positions; of a vector of ones it is torch's way to write a range."""
    if is_symbolic(values[0]) or values[0].ndim == 0:
        raise UnknownValueError
    return np.array(np.nonzero(values[0]), np.int64)


FUNCTIONS: dict[str, Callable[[Node, list[Any]], Any]] = {
    "Cast": _cast,
    "Identity": lambda _, v: v[0],
    "Concat": lambda n, v: np.concatenate(v, n.integer("axis", 0)),
    "Gather": lambda n, v: np.take(
        v[0], np.array(_numbers(v[1])).reshape(v[1].shape), n.integer("axis", 0)
    ),
    "Slice": _slice,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda n, v: np.expand_dims(v[0], tuple(_axes(n, v) or ())),
    "Transpose": lambda n, v: v[0].transpose(n.ints("perm") or None),
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "OneHot": _one_hot,
    "Range": _range,
    "NonZero": _non_zero,
    "Where": lambda _, v: np.where(v[0].astype(bool), v[1], v[2]),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract),
    "Mul": _arithmetic(np.multiply),
    "Div": _divide,
    "Mod": _arithmetic(np.mod),
    "Neg": _arithmetic(np.negative),
    "Max": _extreme(1),
    "Min": _extreme(-1),
    "Equal": _compared(lambda order: order == 0),
    "Less": _compared(lambda order: order < 0),
    "LessOrEqual": _compared(lambda order: order <= 0),
    "Greater": _compared(lambda order: order > 0),
    "GreaterOrEqual": _compared(lambda order: order >= 0),
    "Not": _plain(np.logical_not),
    "And": _plain(np.logical_and),
    "Or": _plain(np.logical_or),
    "Clip": _clip,
    "Relu": _plain(lambda x: np.maximum(x, 0)),
    "Floor": _plain(np.floor),
    "Ceil": _plain(np.ceil),
    "Sqrt": _plain(np.sqrt),
    "Pow": _plain(np.power),
    "Reciprocal": _plain(np.reciprocal),
    "Abs": _plain(np.abs),
}
"""Operators that appear in shape arithmetic, on numpy arrays."""
