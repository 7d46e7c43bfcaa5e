from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from spa_onnx.load.model import LoadedModel, load
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import Lowering, lower_layers
from spa_onnx.lower.undo import is_lowered, raise_layers
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import normalise
from spa_onnx.rewrite.writer import to_bytes
from spa_onnx.runtime.session import session
from tests.builders import GraphBuilder
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.lower.models import MODELS, SPELLINGS, built, conv, feeds_of, linear, sparse
from tests.spa_onnx.lower.reference import Array, evaluate

WAYS = (Packing(1, 1), Packing(1, 4), Packing(1, 8, 3), Packing(1, 32))


def lowered(model: onnx.ModelProto, way: Packing = WAYS[1]) -> onnx.ModelProto:
    """Return a model with all its layers lowered."""
    loaded = load(model)
    view = View.of(normalise(loaded))
    layers = find_layers(view).layers
    made = [Lowering(x, None if x.kind == "depthwise" else way) for x in layers]
    return whole(lower_layers(view, made), loaded)


def whole(rewritten: Any, loaded: LoadedModel) -> onnx.ModelProto:
    """Return a rewritten model with its weights inside."""
    return onnx.ModelProto.FromString(to_bytes(rewritten, loaded))


def undone(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a lowered model with standard operators again."""
    loaded = load(model)
    return whole(raise_layers(normalise(loaded)), loaded)


def dense_outputs(model: onnx.ModelProto) -> list[Array]:
    outputs: Any = ReferenceEvaluator(model).run(None, feeds_of(model))
    return list(outputs)


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def assert_equal(found: list[Array], expected: list[Array]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(b).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_lowered_model_computes_the_same(name: str, way: Packing) -> None:
    model = built(MODELS[name])
    made = lowered(model, way)
    assert not {"Conv", "MatMul", "Gemm", "BatchNormalization"}.intersection(operators(made))
    assert_equal(evaluate(made, feeds_of(made)), dense_outputs(model))


@needs_kernels
@pytest.mark.parametrize("name", MODELS)
def test_onnxruntime_computes_the_same_with_the_library(name: str) -> None:
    model = built(MODELS[name])
    opened: Any = session(lowered(model).SerializeToString())
    assert_equal(opened.run(None, feeds_of(model)), dense_outputs(model))


@pytest.mark.parametrize("name", MODELS)
def test_undoing_gives_a_standard_model_that_computes_the_same(name: str) -> None:
    model = built(MODELS[name])
    back = undone(lowered(model))
    onnx.checker.check_model(back, full_check=True)
    assert not is_lowered(back)
    assert_equal(dense_outputs(back), dense_outputs(model))


@pytest.mark.parametrize("name", ["3x3 of groups", "gemm", "perceptron", "depthwise between"])
def test_undoing_gives_exactly_the_weights(name: str) -> None:
    def weights(model: onnx.ModelProto) -> list[bytes]:
        arrays = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
        return sorted(np.sort(a, axis=None).tobytes() for a in arrays if a.ndim > 1)

    once = undone(lowered(built(MODELS[name])))
    assert weights(undone(lowered(once))) == weights(once)
    if name == "3x3 of groups":
        assert weights(once) == weights(built(MODELS[name]))


@pytest.mark.parametrize("opset", [9, 13, 20])
@pytest.mark.parametrize(
    "name", ["silu", "gelu by erf", "gelu by tanh", "hard swish by sigmoid", "clip"]
)
def test_activations_survive_both_ways_in_old_and_new_opsets(name: str, opset: int) -> None:
    kind, spell = SPELLINGS[name]
    model = built(lambda g: spell(g, linear(g, g.input("x", ("batch", 3, 10)), 6)), opset)
    made = lowered(model)
    (node,) = made.graph.node
    given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert given["activation"].decode() == kind
    assert_equal(evaluate(made, feeds_of(made)), dense_outputs(model))
    assert_equal(dense_outputs(undone(made)), dense_outputs(model))


def test_a_shared_weight_is_packed_once() -> None:
    made = lowered(built(MODELS["shared weight"]))
    assert [t.data_type for t in made.graph.initializer] == [onnx.TensorProto.UINT8]
    first, second = made.graph.node
    assert first.input[1] == second.input[1]
    assert len(undone(made).graph.initializer) == 1


def test_dense_weights_do_not_stay_in_the_model() -> None:
    made = lowered(built(MODELS["residual"]))
    assert [n.op_type for n in made.graph.node] == ["SparseConv"]
    assert sorted(t.data_type for t in made.graph.initializer) == [1, 2]
    assert [(o.domain, o.version) for o in made.opset_import][-1] == ("ai.spa", 1)


def test_a_weight_that_others_read_stays() -> None:
    def make(g: GraphBuilder) -> str:
        x, weight = g.input("x", (4, 10)), sparse(g, 10, 10)
        return g.add(g.matmul(x, weight), g.reduce("ReduceSum", weight, 0))

    model = built(make)
    made = lowered(model)
    assert len(made.graph.initializer) >= 2
    assert_equal(evaluate(made, feeds_of(made)), dense_outputs(model))


def test_only_what_is_asked_for_is_lowered() -> None:
    loaded = load(built(MODELS["perceptron"]))
    view = View.of(normalise(loaded))
    second = find_layers(view).layers[1]
    made = whole(lower_layers(view, [Lowering(second, WAYS[0])]), loaded)
    assert operators(made).count("MatMul") == 1
    assert operators(made)[-1] == "SparseLinear"


def test_models_that_list_weights_as_inputs_are_lowered(tmp_path: Path) -> None:
    g = GraphBuilder(9, ir_version=3)
    model = g.model(conv(g, g.input("x", (1, 4, 5, 5)), 6))
    assert len(model.graph.input) > 1
    made = lowered(model)
    assert [v.name for v in made.graph.input] == ["x"]
    assert_equal(evaluate(made, feeds_of(made)), dense_outputs_without_inputs(model))


def dense_outputs_without_inputs(model: onnx.ModelProto) -> list[Array]:
    """Return outputs of a model that lists its weights as inputs."""
    stored = {t.name for t in model.graph.initializer}
    kept = [v for v in model.graph.input if v.name not in stored]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return dense_outputs(model)


def test_tiles_reach_the_operator_and_share_the_weight() -> None:
    loaded = load(built(MODELS["shared weight"]))
    view = View.of(normalise(loaded))
    layers = find_layers(view).layers
    made = [Lowering(x, Packing(1, 4, 0, tile)) for x, tile in zip(layers, (2, 3), strict=True)]
    model = whole(lower_layers(view, made), loaded)
    tiles = [a.i for node in model.graph.node for a in node.attribute if a.name == "tile"]
    assert tiles == [2, 3]
    assert len(model.graph.initializer) == 1


@pytest.mark.parametrize("lowered_first", [True, False])
def test_a_constant_that_others_read_stays(*, lowered_first: bool) -> None:
    g = GraphBuilder()
    x = g.input("x", ("batch", 3, 10))
    zeros = g.constant(np.zeros(10, np.float32))  # exporters merge equal constants

    def layer(x: str) -> str:
        return g.add(linear(g, x, 10), zeros)

    def other(x: str) -> str:
        return g.node("Max", [x, zeros])

    first, second = (layer, other) if lowered_first else (other, layer)
    model = g.model(second(g.softmax(first(x))))
    made = lowered(model)
    onnx.checker.check_model(undone(made), full_check=True)
    assert_equal(evaluate(made, feeds_of(model)), dense_outputs(model))
    assert zeros in {t.name for t in made.graph.initializer}
