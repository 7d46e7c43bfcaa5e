from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from ml_dtypes import bfloat16

from spa_onnx.load.model import load
from spa_onnx.lower.config import Target
from spa_onnx.lower.find import Found, find_layers, is_refused_for_float32
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.packed_kinds import ValueType
from tests.builders import GraphBuilder
from tests.spa_onnx.lower.models import MODELS, batch_norm, built, conv, linear, picture, sparse


def found_in(model: onnx.ModelProto, target: Target = "cpu") -> Found:
    return find_layers(View.of(normalise(load(model))), target)


def found(make: Callable[[GraphBuilder], str]) -> Found:
    g = GraphBuilder()
    return found_in(g.model(make(g)))


def vector(g: GraphBuilder) -> str:
    return g.input("x", (4, 10))


REFUSED: Mapping[str, tuple[Callable[[GraphBuilder], str], str]] = {
    "on the left": (
        lambda g: g.matmul(sparse(g, 3, 4), vector(g)), "its weight is on the left",
    ),
    "stacked": (
        lambda g: g.matmul(g.input("x", (2, 4, 10)), sparse(g, 2, 10, 3)),
        "its weight has 3 axes, not 2",
    ),
    "transposed input": (
        lambda g: g.node("Gemm", [vector(g), sparse(g, 4, 3)], transA=1), "its input is transposed",
    ),
    "bias of another shape": (
        lambda g: g.node("Gemm", [vector(g), sparse(g, 10, 3), g.weight(4, 3)]),
        "its bias is no stored vector",
    ),
    "computed weight": (
        lambda g: g.matmul(vector(g), g.node("Transpose", [sparse(g, 3, 10)])),
        "its weight is made by Transpose",
    ),
    "one axis of space": (
        lambda g: g.node("Conv", [g.input("x", (1, 4, 9)), sparse(g, 3, 4, 3)]),
        "it has 1 axes of space, not 2",
    ),
    "several outputs a channel": (
        lambda g: conv(g, picture(g, 4), 8, 3, group=4), "depthwise with several outputs",
    ),
    "transposed": (
        lambda g: g.conv_transpose(picture(g), 4), "no kernel for transposed convolutions",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_stays_dense_has_a_reason(name: str) -> None:
    make, text = REFUSED[name]
    result = found(make)
    assert not result.layers
    (refusal,) = result.refusals
    assert text in refusal.reason


def test_other_precisions_are_refused() -> None:
    g = GraphBuilder(dtype=np.float16)
    result = found_in(g.model(g.matmul(g.input("x", (4, 10)), g.weight(10, 3))))
    assert [r.reason for r in result.refusals] == [
        "its weight is float16, kernels compute in float32"
    ]


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        (
            np.float32,
            "its weight is float32, kernels for CUDA compute in float16 and bfloat16; "
            "--precision float16 converts it",
        ),
        (np.float64, "its weight is double, kernels for CUDA compute in float16 and bfloat16"),
    ],
)
def test_other_precisions_are_refused_for_cuda(dtype: npt.DTypeLike, text: str) -> None:
    g = GraphBuilder(dtype=dtype)
    result = found_in(g.model(g.matmul(g.input("x", (4, 10)), g.weight(10, 3))), "cuda")
    assert [r.reason for r in result.refusals] == [text]
    assert [is_refused_for_float32(r) for r in result.refusals] == [dtype == np.float32]


@pytest.mark.parametrize(
    "make",
    [
        lambda g: conv(g, picture(g), 4, 3),
        lambda g: conv(g, picture(g), 4, pads=[1, 0, 0, 0]),
        lambda g: conv(g, picture(g), 4, group=2),
        lambda g: conv(g, picture(g), 4, dilations=[2, 2]),
        lambda g: g.conv(picture(g), 6, 3, groups=6),
    ],
    ids=["3x3", "padded", "groups", "dilated", "depthwise"],
)
def test_convolutions_for_cuda_see_one_place(make: Callable[[GraphBuilder], str]) -> None:
    result = found_in(built(make, dtype=np.float16), "cuda")
    assert not result.layers
    (refusal,) = result.refusals
    assert "do convolutions of 1 x 1 only, without padding, dilation and gr" in refusal.reason


HALF = [(np.float16, 17, ValueType.FLOAT16), (bfloat16, 22, ValueType.BFLOAT16)]


@pytest.mark.parametrize(("dtype", "opset", "values"), HALF)
@pytest.mark.parametrize("name", ["1x1 with stride", "two branches", "perceptron", "gemm"])
def test_what_follows_is_fused_for_cuda_as_for_the_processor(
    name: str, dtype: npt.DTypeLike, opset: int, values: ValueType
) -> None:
    expected = found_in(built(MODELS[name], opset)).layers
    layers = found_in(built(MODELS[name], opset, dtype), "cuda").layers
    assert layers == tuple(replace(layer, values=values) for layer in expected)


def test_a_norm_of_float32_is_folded_into_a_convolution_of_float16() -> None:
    g = GraphBuilder(dtype=np.float16)
    y = conv(g, picture(g), 6)
    moments = [g.constant(np.full(6, v, np.float32)) for v in (1.5, 0.5, 0.25, 2.0)]
    z = g.node("BatchNormalization", [y, *moments])
    (layer,) = found_in(g.model(z), "cuda").layers
    assert layer.y == z


def test_padding_that_depends_on_the_input_is_refused() -> None:
    g = GraphBuilder()
    x = g.input("x", (1, 4, "height", 8))
    result = found_in(g.model(conv(g, x, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2])))
    assert [r.reason for r in result.refusals] == ["its padding depends on the size of its input"]


def test_a_weight_that_can_be_fed_is_refused() -> None:
    g = GraphBuilder(initializers_as_inputs=True)
    result = found_in(g.model(g.matmul(vector(g), sparse(g, 10, 3))))
    assert [r.reason for r in result.refusals] == ["its weight can be fed as an input"]


def test_products_of_two_activations_are_nobodys_business() -> None:
    result = found(lambda g: g.matmul(vector(g), g.input("z", (10, 4))))
    assert result == Found((), ())


def test_products_inside_control_flow_are_told() -> None:
    g = GraphBuilder()
    x = vector(g)
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], name="inner")],
        "then", [], [onnx.helper.make_tensor_value_info("y", 1, (4, 10))],
        [onnx.numpy_helper.from_array(np.eye(10, dtype=np.float32), "w")],
    )  # fmt: skip
    other = onnx.ModelProto.FromString(g.model(g.relu(x)).SerializeToString())
    other.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    branch = onnx.helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner)
    other.graph.node.append(branch)
    del other.graph.output[:]
    other.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, (4, 10)))
    reasons = {r.reason for r in found_in(other).refusals}
    assert reasons == {"it is inside control flow"}


def test_a_chain_is_one_layer_up_to_what_another_node_reads() -> None:
    g = GraphBuilder()
    x = picture(g)
    y = batch_norm(g, conv(g, x, 6))
    model = g.model(g.relu(y), g.sigmoid(y))
    (layer,) = found_in(model).layers
    assert layer.y == y
    assert layer.activation.name == "none"


def test_a_residual_of_another_shape_is_not_fused() -> None:
    g = GraphBuilder()
    y = linear(g, g.input("x", ("batch", 3, 10)), 6)
    (layer,) = found_in(g.model(g.add(y, g.input("r", (1, 3, 6))))).layers
    assert not layer.residual
    g = GraphBuilder()
    y = linear(g, g.input("x", ("batch", 3, 10)), 6)
    (layer,) = found_in(g.model(g.add(y, g.input("r", ("batch", 3, 6))))).layers
    assert layer.residual == "r"


def test_one_of_two_branches_adds_the_other() -> None:
    g = GraphBuilder()
    x = picture(g)
    y = g.relu(g.add(conv(g, x, 8), conv(g, x, 8)))
    layers = found_in(g.model(y)).layers
    assert sorted((bool(layer.residual), layer.activation.name) for layer in layers) == [
        (False, "none"),
        (True, "relu"),
    ]


def test_an_activation_in_front_of_a_sum_ends_the_layer() -> None:
    g = GraphBuilder()
    x = picture(g)
    y = g.relu(conv(g, x, 6))
    (layer,) = found_in(g.model(g.add(y, x))).layers
    assert (layer.y, layer.residual, layer.activation.name) == (y, "", "relu")


def test_a_norm_in_training_stays() -> None:
    g = GraphBuilder()
    y = conv(g, picture(g), 4)
    inputs = [y, g.scale(4), g.bias(4), g.bias(4), g.scale(4)]
    z = g.node("BatchNormalization", inputs, 3, training_mode=1)[0]
    (layer,) = found_in(g.model(z)).layers
    assert layer.y == y
