"""The smallest graphs that show a defect of the library; worst first."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.algebra.expression import is_fixed
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import layers, prune_at_random
from tests.spa_onnx.untracked import shaped


# rewrite/apply.py: a declaration without a type gets a shape, and with it the element type 0.
def test_a_declaration_without_a_type_stays_without_one() -> None:
    model = layers()
    model.graph.value_info.append(onnx.ValueInfoProto(name=model.graph.node[0].output[0]))
    prune_at_random(model)


def fused(op: str, *more: str, width: int = 8, **attributes: Any) -> onnx.ModelProto:
    """A linear layer, an operator of ONNX Runtime's own domain, and a linear layer."""
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    made = {
        "weight": lambda: g.weight(8, 20, fan_in=8),
        "bias20": lambda: g.bias(20),
        "other": lambda: g.linear(g.relu(x), 8),
        "scale": lambda: g.scale(8),
        "bias": lambda: g.bias(8),
    }
    inputs = [made[name]() for name in more]
    y = shaped(g, g.node(op, [x, *inputs], domain="com.microsoft", **attributes), (2, 5, width))
    return g.model(g.linear(y, 3))


# ops/attention.py: where the new sizes are equal the attribute keeps the old ones.
def test_narrow_values_of_attention_may_become_as_wide_as_queries() -> None:
    sizes = {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}
    model = fused("Attention", "weight", "bias20", width=4, **sizes)
    plan = prune_at_random(model).plan
    cuts = tuple(replace(c, keep=tuple(k[:2] for k in c.keep)) for c in plan.cuts)
    spa_onnx.apply(model, replace(plan, cuts=cuts))
    prune_at_random(model, 0.8, seed=2)


# prove/reference.py: ONNX Runtime's default epsilon of this operator is 1e-12, not 1e-5.
@pytest.mark.parametrize("seed", range(3))
def test_a_skip_normalisation_has_an_epsilon_of_its_own(seed: int) -> None:
    model = fused("SkipLayerNormalization", "other", "scale", "bias")
    prune_at_random(model, 0.8, seed=seed)


# prove/reference.py: the mask of an integer operand comes out as floats.
def test_an_integer_product_with_a_float_result_is_proved() -> None:
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    scale, zero = g.constant(0.03), g.constant(np.array(128, np.uint8))
    weight = g.constant(g.random.integers(-99, 99, (8, 6)).astype(np.int8))
    quantised = g.node("QuantizeLinear", [x, scale, zero])
    inputs = [quantised, weight, scale, g.constant(0.005), zero, g.constant(np.array(0, np.int8))]
    y = g.node("MatMulIntegerToFloat", inputs, domain="com.microsoft")
    prune_at_random(g.model(g.linear(shaped(g, y, (2, 5, 6)), 3)))


# ops/gathering.py and attention.py: axes that no lane of the result belongs to are not fixed.
@pytest.mark.parametrize("op", ["OneHot", "RotaryEmbedding"])
def test_axes_of_tables_are_fixed(op: str) -> None:
    g = GraphBuilder(opset=17)
    if op == "OneHot":
        table = g.constant([0.0, 1.0], "table")
        y = g.node(op, [g.input("ids", (2, 5), np.int64), g.constant(np.array(8)), table])
    else:
        tables = [g.weight(7, 4, fan_in=1, name=name) for name in ("table", "other")]
        inputs = [g.linear(g.input("x", (2, 5, 4)), 8), g.input("p", (2, 5), np.int64), *tables]
        y = shaped(g, g.node(op, inputs, domain="com.microsoft", num_heads=1), (2, 5, 8))
    state = spa_onnx.analyze(g.model(g.linear(y, 3))).propagation
    axes = state.axes_of("table")
    assert axes is not None
    assert is_fixed(axes[0])


# graph/node.py, ops/resampling.py, analyse/factors.py: exceptions that are not ours leave analyze.
def test_an_attribute_of_another_type_is_no_crash() -> None:
    model = layers()
    (found,) = (a for a in model.graph.node[0].attribute if a.name == "strides")
    found.CopyFrom(onnx.helper.make_attribute("strides", 0.5))
    with suppress(spa_onnx.SpaError):
        spa_onnx.analyze(model)


def test_an_infinite_scale_is_no_crash() -> None:
    g = GraphBuilder(opset=10)
    model = g.model(g.conv(g.resize(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)), 3))
    scales = next(t for t in model.graph.initializer if t.name == model.graph.node[1].input[1])
    values = np.array([1, 1, np.inf, 2], np.float32)
    scales.CopyFrom(numpy_helper.from_array(values, scales.name))
    with suppress(spa_onnx.SpaError):
        spa_onnx.analyze(model)


def test_a_kernel_larger_than_its_input_is_no_crash() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.conv(g.input("x", (1, 3, 6, 6)), 8, 3), 16, 3, groups=8)
    model = g.model(g.conv(x, 3))
    weight = next(t for t in model.graph.initializer if list(t.dims) == [16, 1, 3, 3])
    weight.CopyFrom(numpy_helper.from_array(np.ones((16, 1, 96, 3), np.float32), weight.name))
    with suppress(spa_onnx.SpaError):
        spa_onnx.analyze(model)


# rewrite/edit.py: the indices of a gathered bias are cut, and their declaration is not.
def test_declared_indices_of_a_cut_axis_are_declared_anew() -> None:
    g = GraphBuilder(opset=17)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, bias=False)
    indices = g.constant(np.arange(8).reshape(1, 8, 1, 1), "indices")
    bias = g.node("Gather", [g.bias(8), indices], axis=0)
    model = g.model(g.conv(g.relu(g.add(x, bias)), 3))
    declared = onnx.helper.make_tensor_value_info("indices", onnx.TensorProto.INT64, (1, 8, 1, 1))
    model.graph.value_info.append(declared)
    pruned = prune_at_random(model).model
    onnx.checker.check_model(pruned, full_check=True)
    assert {tuple(t.dims) for t in pruned.graph.initializer if t.name == "indices"} == {
        (1, 4, 1, 1)
    }
