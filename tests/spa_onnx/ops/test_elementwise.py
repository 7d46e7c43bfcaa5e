import numpy as np
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, operand, reasons, shape, widths


@pytest.mark.parametrize("form", [(8, 1, 1), (1, 8, 1, 1), (1, 1, 1), (1,), (), (6, 6), (8, 6, 6)])
def test_only_the_axis_that_is_stretched_over_the_channels_is_cut(form: tuple[int, ...]) -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.mul(x, g.constant(g.random.uniform(0.5, 1.5, form)))
    small = half(g.model(g.conv(y, 3)))
    assert shape(small, "Mul") == tuple(4 if n == 8 else n for n in form)


def test_added_layers_lose_the_same_lanes() -> None:
    g = GraphBuilder(opset=13)
    x = g.input("x", (1, 3, 6, 6))
    model = g.model(g.conv(g.add(g.conv(x, 8, 3), g.conv(x, 8)), 3))
    assert widths(model) == [8]
    small = half(model)
    assert shape(small, "Conv")[0] == shape(small, "Conv", index=1)[0] == 4


def test_an_input_added_to_channels_fixes_them() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    model = g.model(g.conv(g.add(x, g.input("y", (1, 8, 6, 6))), 3))
    assert "the other side is fixed" in reasons(model, "weight_1", 0)


def test_a_scale_for_every_channel_is_cut_with_its_zero_point() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    scale = g.constant(g.random.uniform(0.01, 0.02, 8))
    zero = g.constant(np.arange(8, dtype=np.int8))
    quantised = g.node("QuantizeLinear", [x, scale, zero], axis=1)
    small = half(g.model(g.conv(g.node("DequantizeLinear", [quantised, scale, zero], axis=1), 3)))
    assert shape(small, "QuantizeLinear", 1) == shape(small, "QuantizeLinear", 2) == (4,)
    assert len(set(operand(small, "DequantizeLinear", 2).tolist())) == 4


def test_quantised_weights_are_cut_as_weights() -> None:
    g = GraphBuilder(opset=13)
    values = g.random.integers(-127, 127, (8, 3, 3, 3)).astype(np.int8)
    scale = g.constant(g.random.uniform(0.001, 0.01, 8))
    weight = g.node("DequantizeLinear", [g.constant(values), scale], axis=0)
    x = g.node("Conv", [g.input("x", (1, 3, 6, 6)), weight])
    small = half(g.model(g.conv(x, 3)))
    assert shape(small, "DequantizeLinear", 0) == (4, 3, 3, 3)


def test_a_scale_for_every_block_goes_with_the_whole_block() -> None:
    g = GraphBuilder(opset=21)
    values = g.constant(g.random.integers(-127, 127, (8, 6)).astype(np.int8))
    inputs = [values, g.constant(g.random.uniform(0.001, 0.01, (4, 6)))]
    weight = g.node("DequantizeLinear", inputs, axis=0, block_size=2)
    model = g.model(g.gemm(g.matmul(g.gemm(g.input("x", (2, 4)), 8), weight), 3))
    assert widths(model) == [4, 6]
    small = half(model)
    assert [shape(small, "DequantizeLinear", k) for k in (0, 1)] == [(4, 3), (2, 3)]
