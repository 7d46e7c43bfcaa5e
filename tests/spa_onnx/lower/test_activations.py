from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from ml_dtypes import bfloat16
from onnx import TensorProto

from spa_onnx.load.model import load
from spa_onnx.lower.activations import Activation, Match, match_activation
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.packed_kinds import ValueType
from tests.builders import GraphBuilder
from tests.spa_onnx.lower.models import SPELLINGS

Make = Callable[[GraphBuilder, str], str]


KINDS = {
    ValueType.FLOAT32: (np.float32, 17),
    ValueType.FLOAT16: (np.float16, 17),
    ValueType.BFLOAT16: (bfloat16, 22),
}


def matched(
    make: Make, kind: ValueType = ValueType.FLOAT32, opset: int | None = None
) -> tuple[Match | None, str]:
    """Return what is found behind an input, and the last tensor."""
    dtype, oldest = KINDS[kind]
    g = GraphBuilder(opset or oldest, dtype=dtype)
    last = make(g, g.input("x", (2, 5)))
    view = View.of(normalise(load(g.model(last))))
    return match_activation(view, "x", kind), last


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_known_by_what_it_computes(name: str, kind: ValueType) -> None:
    expected, make = SPELLINGS[name]
    match, last = matched(make, kind)
    assert match is not None
    assert (match.activation.name, match.result) == (expected, last)


def in_float32(g: GraphBuilder, x: str) -> str:
    """Spell ReLU in float32, as converters do where they mistrust a type."""
    wide = g.node("Cast", [x], to=int(TensorProto.FLOAT))
    zero = g.constant(np.array(0, np.float32))
    return g.node("Cast", [g.node("Max", [wide, zero])], to=int(TensorProto.FLOAT16))


def test_float32_in_between_is_what_kernels_compute_in_too() -> None:
    match, last = matched(in_float32, ValueType.FLOAT16)
    assert match is not None
    assert (match.activation.name, match.result, len(match.nodes)) == ("relu", last, 3)


def test_a_result_of_another_type_is_not_swallowed() -> None:
    match, _ = matched(
        lambda g, x: g.relu(g.node("Cast", [x], to=int(TensorProto.FLOAT))), ValueType.FLOAT16
    )
    assert match is None


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_the_operator_gelu_is_known(approximate: str) -> None:
    match, _ = matched(lambda g, x: g.node("Gelu", [x], approximate=approximate), opset=20)
    assert match is not None
    assert match.activation.name == ("gelu" if approximate == "none" else "gelu_tanh")


@pytest.mark.parametrize("name", ["Gelu", "FastGelu"])
def test_operators_of_the_runtime_are_known(name: str) -> None:
    g = GraphBuilder(17)
    x = g.input("x", (2, 5))
    model = g.model(g.node(name, [x], domain="com.microsoft"), check=False)
    match = match_activation(View.of(normalise(load(model))), "x")
    assert match is not None
    assert match.activation.name == ("gelu" if name == "Gelu" else "gelu_tanh")


def test_limits_of_a_clip_are_read() -> None:
    match, _ = matched(lambda g, x: g.clip(x, -1.0, 2.5))
    assert match is not None
    assert match.activation == Activation("clip", -1.0, 2.5)
    match, _ = matched(lambda g, x: g.node("Min", [x, g.constant(3.0)]))
    assert match is not None
    assert match.activation == Activation("clip", high=3.0)


OTHERS: Mapping[str, Make] = {
    "leaky": lambda g, x: g.node("LeakyRelu", [x], alpha=0.1),
    "sigmoid": lambda g, x: g.sigmoid(x),
    "quick gelu": lambda g, x: g.mul(x, g.sigmoid(g.mul(x, g.constant(1.702)))),
    "almost hard swish": lambda g, x: g.mul(x, g.node("HardSigmoid", [x], alpha=0.2, beta=0.5)),
    "shift": lambda g, x: g.add(x, g.constant(1.0)),
    "limits that move": lambda g, x: g.node("Max", [x, g.input("low", ())]),
    "gate of another": lambda g, x: g.mul(g.input("other", (2, 5)), g.sigmoid(x)),
    "constant": lambda g, x: g.clip(x, 2.0, 2.0),
    "vector": lambda g, x: g.node("Max", [x, g.constant([0.0] * 5)]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_are_none(name: str, kind: ValueType) -> None:
    match, _ = matched(OTHERS[name], kind)
    assert match is None


def test_a_tensor_that_others_read_is_not_swallowed() -> None:
    g = GraphBuilder()
    x = g.input("x", (2, 5))
    view = View.of(normalise(load(g.model(g.relu(x), g.add(x, g.constant([1.0] * 5))))))
    assert match_activation(view, "x") is None


def test_an_output_in_the_middle_is_not_swallowed() -> None:
    g = GraphBuilder()
    gate = g.sigmoid(g.input("x", (2, 5)))
    view = View.of(normalise(load(g.model(g.mul("x", gate), gate))))
    assert match_activation(view, "x") is None


def test_arithmetic_behind_an_activation_is_left() -> None:
    match, last = matched(lambda g, x: g.mul(g.relu(x), g.constant(2.0)))
    assert match is not None
    assert match.activation.name == "relu"
    assert match.result != last
