"""Activations are known by what they compute, however an exporter spelled them.

    y ─┬─ Div ─ Erf ─ Add ─ Mul ─ Mul ─      is GELU, as are its other spellings
       └─────────────────────┘

The elementwise nodes between a tensor and the one that alone follows from it are run on some
numbers, and the results compared with those of the functions that kernels have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spa_onnx.graph.node import Node
from spa_onnx.lower.view import VALUES, View
from spa_onnx.runtime.packed_kinds import ValueType

Numbers = NDArray[np.float64]
Name = Literal["none", "relu", "clip", "gelu", "gelu_tanh", "silu", "hard_swish"]

FAR = 1e4
"""Where an activation that saturates has done so."""

GRID: Numbers = np.concatenate([np.linspace(-12, 12, 97), [-FAR, -60.0, 60.0, FAR]])
LIKE: Mapping[ValueType, float] = {
    ValueType.FLOAT32: 4e-6,
    ValueType.FLOAT16: 2.0**-12,
    ValueType.BFLOAT16: 2.0**-9,
}
"""Relative difference of functions whose constants were rounded to a type.

Of the types of 16 bits it is half a rounding: constants of GELU make a seventh of one, and other
functions than the kernels' are five away. The two forms of GELU lie within it, so the nearest
function counts."""

MOST_NODES = 12
"""Nodes of the longest spelling that is looked for; GELU by tanh takes nine."""


@dataclass(frozen=True, slots=True)
class Activation:
    """A function that kernels apply to their results.

    Attributes:
        name: which.
        low: of clip, the least result; -inf for none.
        high: of clip, the greatest result; inf for none.
    """

    name: Name = "none"
    low: float = -math.inf
    high: float = math.inf

    def __call__(self, x: Numbers) -> Numbers:
        """Return the function of some numbers."""
        return np.clip(x, self.low, self.high) if self.name == "clip" else FUNCTIONS[self.name](x)


def erf(x: Numbers) -> Numbers:
    """Return the error function."""
    return np.array([math.erf(v) for v in np.ravel(x)]).reshape(np.shape(x))


def sigmoid(x: Numbers) -> Numbers:
    """Return the logistic function."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)))


def gelu(x: Numbers) -> Numbers:
    """Return GELU. Source: Hendrycks and Gimpel, arXiv:1606.08415, section 2."""
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def gelu_tanh(x: Numbers) -> Numbers:
    """Return the approximation of GELU by tanh. Source: as :func:`gelu`."""
    return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))


def hard_sigmoid(x: Numbers, alpha: float = 0.2, beta: float = 0.5) -> Numbers:
    """Return the line that is cut off at 0 and 1."""
    return np.clip(alpha * x + beta, 0, 1)


def hard_swish(x: Numbers) -> Numbers:
    """Return ``x * hard_sigmoid(x)``. Source: ONNX operator specification, HardSwish-14."""
    return x * hard_sigmoid(x, 1 / 6)


FUNCTIONS: Mapping[Name, Callable[[Numbers], Numbers]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": lambda x: x * sigmoid(x),
    "hard_swish": hard_swish,
}


@dataclass(frozen=True, slots=True)
class Match:
    """Nodes that compute an activation together.

    Attributes:
        activation: which.
        nodes: their indices.
        result: the tensor that they make.
    """

    activation: Activation
    nodes: tuple[int, ...]
    result: str


def match_activation(view: View, start: str, kind: ValueType = ValueType.FLOAT32) -> Match | None:
    """Return the longest run of nodes behind a tensor that is an activation, and all of it.

    Args:
        view: of the graph.
        start: the tensor.
        kind: type of its elements, and of those of the result.
    """
    values: dict[str, Numbers] = {start: GRID}
    taken: list[int] = []
    match: Match | None = None
    while len(taken) < MOST_NODES:
        node = _next_node(view, values, taken, casts=kind != ValueType.FLOAT32)
        value = _run(view, node, values) if node is not None else None
        if node is None or value is None:
            return match
        taken.append(node.index)
        values[node.outputs[0]] = value
        result = node.outputs[0]
        if _open_names(view, values, taken) == [result] and view.values(result) == kind:
            found = known(value, LIKE[kind])
            match = Match(found, tuple(taken), result) if found is not None else match
    return match


def known(value: Numbers, like: float) -> Activation | None:
    """Return the activation with results on the grid that are like these."""
    errors: dict[Name, float] = {name: _error(value, f(GRID)) for name, f in FUNCTIONS.items()}
    nearest = min(errors, key=lambda name: errors[name])
    if errors[nearest] <= like and nearest != "none":
        return Activation(nearest)
    low, high = float(value.min()), float(value.max())
    clip = Activation("clip", -math.inf if low <= -FAR else low, math.inf if high >= FAR else high)
    is_clip = low < high and (low, high) != (-FAR, FAR) and _error(value, clip(GRID)) <= like
    return clip if is_clip else None


def _error(a: Numbers, b: Numbers) -> float:
    return float((np.abs(a - b) / np.maximum(1, np.abs(b))).max())


def _next_node(
    view: View, values: Mapping[str, Numbers], taken: list[int], *, casts: bool
) -> Node | None:
    """Return the first node that reads what is known, and constants, only.

    A cast counts for nothing where numbers of 16 bits are computed with as float32 in between: so
    do the kernels.
    """
    found: dict[int, Node] = {}
    for name in values:
        for node in view.readers.get(name, []):
            if node.scope or node.index in taken or node.op not in OPERATORS:
                continue
            if node.op == "Cast" and not casts:
                continue
            known_inputs = all(
                n in values or view.scalar(n) is not None for n in filter(None, node.inputs)
            )
            if known_inputs and len(node.outputs) == 1 and node.index in view.nodes:
                found[node.index] = node
    return found[min(found)] if found else None


def _open_names(view: View, values: Mapping[str, Numbers], taken: list[int]) -> list[str]:
    """Return what somebody else reads too, in the order of its making."""
    return [
        name
        for name in values
        if name in view.kept_names
        or not view.readers.get(name)
        or any(n.scope or n.index not in taken for n in view.readers[name])
    ]


def _run(view: View, node: Node, values: Mapping[str, Numbers]) -> Numbers | None:
    inputs: list[Any] = [values.get(n, view.scalar(n)) if n else None for n in node.inputs]
    with np.errstate(all="ignore"):
        result = OPERATORS[node.op](node, inputs)
    if result is None or np.shape(result) != GRID.shape or not np.isfinite(result).all():
        return None
    return np.asarray(result, np.float64)


Rule = Callable[[Node, list[Any]], Any]


def _clip(node: Node, x: list[Any]) -> Any:
    low = x[1] if len(x) > 1 else node.attributes.get("min")
    high = x[2] if len(x) > 2 else node.attributes.get("max")
    return np.clip(x[0], -math.inf if low is None else low, math.inf if high is None else high)


def _gelu(node: Node, x: list[Any]) -> Any:
    return gelu_tanh(x[0]) if node.text("approximate", "none") == "tanh" else gelu(x[0])


def _one(function: Callable[[Any], Any]) -> Rule:
    return lambda node, x: function(*x) if len(x) == 1 else None


def _two(function: Callable[[Any, Any], Any]) -> Rule:
    return lambda node, x: function(*x) if len(x) == 2 else None


def _many(function: Callable[[Any, Any], Any]) -> Rule:
    def run(node: Node, x: list[Any]) -> Any:
        result = x[0]
        for other in x[1:]:
            result = function(result, other)
        return result

    return run


OPERATORS: Mapping[str, Rule] = {
    "Add": _two(np.add),
    "Cast": lambda node, x: x[0] if node.integer("to", 0) in VALUES else None,
    "Clip": _clip,
    "Div": _two(np.divide),
    "Erf": _one(erf),
    "Gelu": _gelu,
    "HardSigmoid": lambda node, x: hard_sigmoid(
        x[0], float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    ),
    "HardSwish": _one(hard_swish),
    "Identity": _one(lambda x: x),
    "Max": _many(np.maximum),
    "Min": _many(np.minimum),
    "Mul": _two(np.multiply),
    "Neg": _one(np.negative),
    "Pow": _two(np.power),
    "Relu": _one(FUNCTIONS["relu"]),
    "Sigmoid": _one(sigmoid),
    "Sub": _two(np.subtract),
    "Swish": lambda node, x: x[0] * sigmoid(float(node.attributes.get("alpha", 1.0)) * x[0]),
    "Tanh": _one(np.tanh),
    "com.microsoft::FastGelu": _one(gelu_tanh),
    "com.microsoft::Gelu": _one(gelu),
    "com.microsoft::QuickGelu": lambda node, x: (
        x[0] * sigmoid(float(node.attributes.get("alpha", 1.702)) * x[0])
    ),
}
"""What elementwise operators compute, as far as activations are made of them."""
