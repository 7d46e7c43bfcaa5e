"""The proof notices what is wrong, and says what it could not see."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx import ProofFailedError
from spa_onnx.ops.rule import Coupling, Operands, OpRule
from spa_onnx.ops.rules import RULES
from spa_onnx.prove.compared import Selection
from spa_onnx.prove.distance import distance
from tests.builders import GraphBuilder
from tests.spa_onnx.analyse.test_dims import attention
from tests.spa_onnx.pruned_models import half, half_result, node


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.batch_norm(g.conv(g.input("x", (2, 3, 6, 6)), 8, 3))
    return g.model(g.gemm(g.flatten(g.global_average_pool(g.conv(g.relu(x), 8))), 3))


MODELS = {"chain": chain, "attention": attention}


def weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [t for t in model.graph.initializer if len(t.dims) > 1 and t.data_type == 1]


def changed(tensor: onnx.TensorProto, change: Callable[[np.ndarray], None]) -> None:
    array = numpy_helper.to_array(tensor).copy()
    change(array)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def flip_one(array: np.ndarray) -> None:
    array.reshape(-1)[0] *= -1


def swap_lanes(array: np.ndarray) -> None:
    array[[0, 1]] = array[[1, 0]]


def swap_columns(array: np.ndarray) -> None:
    array[:, [0, 1]] = array[:, [1, 0]]


# -- wrong results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [flip_one, swap_lanes, swap_columns])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_weight_is_caught(
    name: str, which: int, damage: Callable[[np.ndarray], None]
) -> None:
    result = half_result(MODELS[name]())
    wrong = result.model
    changed(weights(wrong)[which], damage)
    with pytest.raises(ProofFailedError, match="differs from the masked original"):
        spa_onnx.verify(MODELS[name](), wrong, result.plan)


def test_lanes_of_another_plan_are_caught() -> None:
    first, second = (half_result(chain(), seed=seed) for seed in (0, 1))
    with pytest.raises(ProofFailedError):
        spa_onnx.verify(chain(), second.model, first.plan)


def test_the_unpruned_model_is_not_the_pruned_one() -> None:
    with pytest.raises(ProofFailedError):
        spa_onnx.verify(chain(), chain(), half_result(chain()).plan)


def test_a_model_that_does_not_run_is_refused() -> None:
    result = half_result(chain())
    wrong = result.model
    node(wrong, "Conv").input[1] = node(wrong, "Conv", 1).input[1]
    with pytest.raises(ProofFailedError, match="ONNX Runtime refuses the pruned model"):
        spa_onnx.verify(chain(), wrong, result.plan)


def test_the_culprit_is_named() -> None:
    result = half_result(chain())
    wrong = result.model
    changed(weights(wrong)[0], swap_lanes)
    with pytest.raises(ProofFailedError) as caught:
        spa_onnx.verify(chain(), wrong, result.plan)
    assert "made by" in str(caught.value)
    assert "tolerance 0.0001" in str(caught.value)


# -- wrong rules -----------------------------------------------------------------------------------


def broken(op: str, **changes: object) -> OpRule:
    """Return a rule that says something else of its operator."""
    rule = RULES[op]

    def couple(operands: Operands) -> Coupling:
        return replace(rule.couple(operands), **changes)  # type: ignore[arg-type]

    return OpRule(op, couple, rule.size_inputs)


@pytest.mark.parametrize(
    ("op", "model"),
    [
        ("Conv", chain),
        ("Gemm", chain),
        ("MatMul", attention),
        ("LayerNormalization", None),
        ("ReduceMean", None),
        ("Softmax", None),
    ],
)
def test_a_rule_that_forgets_what_it_mixes_is_caught(
    op: str, model: Callable[[], onnx.ModelProto] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the mask the reference still sees the removed lanes."""
    monkeypatch.setitem(RULES, op, broken(op, mixed=()))
    with pytest.raises(ProofFailedError):
        half(model() if model else around(op))


def around(op: str) -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    match op:
        case "LayerNormalization":
            y = g.layer_norm(x)
        case "ReduceMean":
            y = g.mul(x, g.reduce(op, x, 2))
        case _:
            y = g.softmax(x)
    return g.model(g.linear(y, 3))


def test_a_rule_that_confuses_lanes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Slice that forgets to move its bounds reads other lanes."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 12, 3)
    model = g.model(g.conv(g.slice(x, 6, None), 3), g.conv(g.slice(x, 0, 6), 3))
    half(model)
    monkeypatch.setitem(RULES, "Slice", broken("Slice", resize=None))
    with pytest.raises(ProofFailedError):
        half(model)


# -- what a proof cannot see -----------------------------------------------------------------------


def test_a_zero_layer_leaves_the_output_without_power() -> None:
    model = chain()
    changed(weights(model)[-1], lambda array: array.fill(0.0))
    result = half_result(model)
    assert result.report.proof is not None
    assert all(d.power == 0 for d in result.report.proof.outputs)
    assert result.report.proof.power > 0.01, "inner tensors still see the cut"


def test_a_proof_without_any_power_says_so() -> None:
    model = chain()
    changed(weights(model)[0], lambda array: array.fill(0.0))
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1:
            changed(tensor, lambda array: array.fill(0.0))
    changed(weights(model)[1], lambda array: array.fill(0.0))
    result = half_result(model)
    assert result.report.proof is not None
    assert result.report.proof.power == 0
    assert any("the proof has no power here" in note for note in result.report.notes)


def test_inner_tensors_are_compared_beside_the_outputs() -> None:
    proof = half_result(chain()).report.proof
    assert proof is not None
    assert {d.tensor for d in proof.inner} >= {"conv_3", "relu_9"} or len(proof.inner) >= 4
    assert proof.largest < 1e-5


def ranked() -> tuple[onnx.ModelProto, str, str, str]:
    """Return a model with its scores, and the values and places of the best of them."""
    g = GraphBuilder(opset=13)
    x = g.gemm(g.relu(g.gemm(g.input("x", (2, 4)), 8)), 6)
    best, where = g.node("TopK", [x, g.constant([3])], 2, axis=1)
    return g.model(best, where), x, best, where


def test_what_rests_on_a_choice_is_compared_where_both_chose_alike() -> None:
    model, scores, best, where = ranked()
    proof = half_result(model).report.proof
    assert proof is not None
    assert not proof.skipped
    assert {d.tensor for d in proof.outputs} == {best, where}
    assert scores in {d.tensor for d in proof.inner}


def test_what_rests_on_a_choice_is_not_compared_where_rounding_changed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, scores, best, where = ranked()
    agreed = Selection.agreed

    def turned_round(
        selection: Selection, state: Any, lanes: Any, values: dict[str, tuple[Any, Any]]
    ) -> set[int]:
        turned = {name: (before, after[:, ::-1]) for name, (before, after) in values.items()}
        return agreed(selection, state, lanes, values | {where: turned[where]})

    monkeypatch.setattr(Selection, "agreed", turned_round)
    report = half_result(model).report
    assert report.proof is not None
    assert report.proof.skipped == {best: "TopK 'TopK_9'", where: "TopK 'TopK_9'"}
    assert scores in {d.tensor for d in report.proof.inner}
    assert sum("was not compared: it lies behind TopK" in n for n in report.notes) == 2


def test_random_numbers_cannot_be_compared() -> None:
    g = GraphBuilder(opset=13)
    x = g.gemm(g.input("x", (2, 4)), 8)
    noise = g.node("RandomNormalLike", [g.gemm(x, 3)])
    result = half_result(g.model(noise, g.gemm(g.relu(x), 5)))
    assert result.report.proof is not None
    assert list(result.report.proof.skipped) == [noise]
    assert len(result.report.proof.outputs) == 1


def test_a_reference_need_not_run_behind_ties() -> None:
    # What the original computes here is the number of lanes, 8; only with 8 does the Reshape run.
    g = GraphBuilder(opset=17)
    x = g.input("x", (2, 4))
    ones = g.add(
        g.mul(g.matmul(x, g.weight(4, 8)), g.constant(np.float32(0))), g.constant(np.float32(1))
    )
    total = g.matmul(ones, g.constant(np.ones((8, 1), np.float32)))
    largest, _ = g.node("TopK", [total, g.constant(np.array([1]))], 2, axis=0)
    count = g.node("Cast", [g.squeeze(largest, 0, 1)], to=onnx.TensorProto.INT64)
    zero, one = g.constant(np.array(0)), g.constant(np.array(1))
    rows = g.reshape(g.node("Range", [zero, count, one]), (-1, 8))
    result = half_result(g.model(rows, g.gemm(g.relu(g.gemm(x, 8)), 3)))
    proof = result.report.proof
    assert proof is not None
    assert list(proof.skipped) == [rows]
    assert len(proof.outputs) == 1
    assert "Reshape" in proof.unrun
    assert any("does not run behind" in note for note in result.report.notes)


def test_dynamic_axes_are_proved_at_two_sizes() -> None:
    g = GraphBuilder(opset=13)
    model = g.model(g.linear(g.relu(g.linear(g.input("x", ("N", "T", 4)), 8)), 3))
    proof = half_result(model).report.proof
    assert proof is not None
    assert len({shapes["x"] for shapes in proof.shapes}) == 2


def test_a_proof_can_be_left_out() -> None:
    result = half_result(chain(), verify=False)
    assert result.report.proof is None
    assert "the result was not proved (--no-verify)" in result.report.notes


# -- the distance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([0.0], [0.0], 0.0),
        ([np.nan], [np.nan], 0.0),
        ([np.nan], [1.0], np.inf),
        ([1.0], [np.nan], np.inf),
        ([np.inf, 1.0], [np.inf, 1.0], 0.0),
        ([np.inf], [-np.inf], np.inf),
        ([1.0, 2.0], [1.0], np.inf),
        ([], [], 0.0),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_distance_is_relative_to_the_scale(
    a: list[float], b: list[float], expected: float, dtype: type[np.floating]
) -> None:
    assert distance(np.array(a, dtype), np.array(b, dtype), 2.0) == pytest.approx(expected)


def test_nothing_is_near_zero_but_zero() -> None:
    assert distance(np.array([1e-9]), np.array([0.0]), 0.0) == np.inf
    assert distance(np.array([0.0]), np.array([0.0]), 0.0) == 0


def test_integers_are_compared_as_numbers() -> None:
    assert distance(np.array([1, 2]), np.array([1, 2]), 2.0) == 0
    assert distance(np.array([1, 3]), np.array([1, 2]), 2.0) == 0.5
    assert distance(np.array([True]), np.array([False]), 1.0) == 1
