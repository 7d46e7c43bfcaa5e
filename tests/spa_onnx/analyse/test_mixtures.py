"""Mixtures of experts that route by TopK: whole experts go, the router finds the ones that stay.

The oracle is no part of the library: the original with a bias that keeps removed experts from ever
being chosen must give what the pruned model gives.
"""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import spa_onnx
from tests.builders import GraphBuilder
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.pruned_models import half_result, reasons

EXPERTS, WIDTH, HIDDEN, ROWS = 6, 5, 8, 7
NEVER = -1e4


class Mixture:
    """A router over ``EXPERTS``, and experts with one matrix each."""

    def __init__(self) -> None:
        self.g = GraphBuilder(opset=17)
        self.x = self.g.linear(self.g.input("x", (ROWS, 3)), WIDTH)
        self.bias = self.g.weight(EXPERTS, fan_in=1, name="router_bias")
        router = self.g.weight(WIDTH, EXPERTS, fan_in=WIDTH, name="router")
        self.logits = self.g.add(self.g.matmul(self.x, router), self.bias)

    def best(self, k: int = 2, of: str = "") -> tuple[str, str]:
        g = self.g
        found = g.node("TopK", [of or self.logits, g.constant([k])], 2, axis=1)
        return found[0], found[1]

    def dense(self, gates: str) -> str:
        """Run every expert on every row and weight the results, ``gates`` is ``(ROWS, E)``."""
        g = self.g
        hidden = g.relu(
            g.matmul(g.unsqueeze(self.x, 0), g.weight(EXPERTS, WIDTH, HIDDEN, fan_in=WIDTH))
        )
        y = g.matmul(hidden, g.weight(EXPERTS, HIDDEN, WIDTH, fan_in=HIDDEN))
        weighted = g.mul(y, g.unsqueeze(g.transpose(gates, 1, 0), 2))
        return g.reduce("ReduceSum", weighted, 0, keepdims=False)

    def finish(self, y: str, *more: str) -> onnx.ModelProto:
        return self.g.model(self.g.linear(self.g.add(self.x, y), 3), *more)


def scattered() -> onnx.ModelProto:
    """Weights of the best, normalised, scattered over zeros."""
    m = Mixture()
    values, places = m.best()
    zeros = m.g.constant(np.zeros((ROWS, EXPERTS), np.float32))
    gates = m.g.node("ScatterElements", [zeros, places, m.g.softmax(values, 1)], axis=1)
    return m.finish(m.dense(gates))


def scattered_over_likeness() -> onnx.ModelProto:
    """Zeros in the shape of the logits, as ``zeros_like`` is exported."""
    m = Mixture()
    values, places = m.best(of=m.g.softmax(m.logits, 1))
    zeros = m.g.node("ConstantOfShape", [m.g.node("Shape", [m.logits])])
    gates = m.g.node("ScatterElements", [zeros, places, values], axis=1)
    return m.finish(m.dense(gates))


def one_hot() -> onnx.ModelProto:
    m = Mixture()
    g = m.g
    values, places = m.best()
    marks = g.node("OneHot", [places, g.constant(np.array(EXPERTS)), g.constant([0.0, 1.0])])
    marks = g.node("Cast", [marks], to=TensorProto.FLOAT)
    return m.finish(
        m.dense(g.reduce("ReduceSum", g.mul(marks, g.unsqueeze(values, 2)), 1, keepdims=False))
    )


def gathered() -> onnx.ModelProto:
    """Only the matrices of the best experts are read."""
    m = Mixture()
    g = m.g
    values, places = m.best()
    first, second = (
        g.node("Gather", [g.weight(EXPERTS, *shape, fan_in=shape[0], name=name), places])
        for name, shape in (("first", (WIDTH, HIDDEN)), ("second", (HIDDEN, WIDTH)))
    )
    hidden = g.relu(g.matmul(g.unsqueeze(m.x, 1, 2), first))
    y = g.squeeze(g.matmul(hidden, second), 2)
    weighted = g.mul(y, g.unsqueeze(g.sigmoid(values), 2))
    return m.finish(g.reduce("ReduceSum", weighted, 1, keepdims=False))


def counted() -> onnx.ModelProto:
    """Lane numbers are held against a count of all lanes."""
    m = Mixture()
    g = m.g
    values, places = m.best()
    marks = g.node("Equal", [g.unsqueeze(places, 2), g.constant(np.arange(EXPERTS))])
    marks = g.node("Cast", [marks], to=TensorProto.FLOAT)
    weighted = g.mul(marks, g.unsqueeze(values, 2))
    return m.finish(m.dense(g.reduce("ReduceSum", weighted, 1, keepdims=False)))


def gathered_by_rows() -> onnx.ModelProto:
    """``weight[indices]`` of newer exporters: GatherND with one index a row."""
    m = Mixture()
    g = m.g
    values, places = m.best()
    weight = g.weight(EXPERTS, WIDTH, WIDTH, fan_in=WIDTH, name="first")
    chosen = g.node("GatherND", [weight, g.unsqueeze(places, 2)])
    y = g.squeeze(g.matmul(g.unsqueeze(m.x, 1, 2), chosen), 2)
    weighted = g.mul(y, g.unsqueeze(g.sigmoid(values), 2))
    return m.finish(g.reduce("ReduceSum", weighted, 1, keepdims=False))


def switched() -> onnx.ModelProto:
    """One expert a row, found by ArgMax; its gate is looked up."""
    m = Mixture()
    g = m.g
    place = g.node("ArgMax", [m.logits], axis=1, keepdims=1)
    gate = g.node("GatherElements", [g.sigmoid(m.logits), place], axis=1)
    flat = g.reshape(g.node("Cast", [place], to=TensorProto.INT32), (ROWS,))
    first = g.node("Gather", [g.weight(EXPERTS, WIDTH, WIDTH, fan_in=WIDTH, name="first"), flat])
    y = g.squeeze(g.matmul(g.unsqueeze(m.x, 1), first), 1)
    return m.finish(g.mul(y, gate))


def two_steps() -> onnx.ModelProto:
    """Biased logits choose, plain ones weight; numbers are taken one column at a time."""
    m = Mixture()
    g = m.g
    _, places = m.best(of=g.mul(m.logits, g.scale(EXPERTS)))
    parts = [g.slice(places, k, k + 1, axis=1) for k in range(2)]
    y = m.x
    weight = g.weight(EXPERTS, WIDTH, WIDTH, fan_in=WIDTH, name="first")
    for part in parts:
        chosen = g.node("Gather", [weight, g.squeeze(part, 1)])
        y = g.add(y, g.squeeze(g.matmul(g.unsqueeze(m.x, 1), chosen), 1))
    return m.finish(y)


FORMS: tuple[Callable[[], onnx.ModelProto], ...] = (
    scattered,
    scattered_over_likeness,
    one_hot,
    counted,
    gathered,
    gathered_by_rows,
    switched,
    two_steps,
)


def without(model: onnx.ModelProto, gone: list[int]) -> onnx.ModelProto:
    """Return the model with a router that never chooses some experts."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for tensor in changed.graph.initializer:
        if tensor.name == "router_bias":
            bias = numpy_helper.to_array(tensor).copy()
            bias[gone] = NEVER
            tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))
    return changed


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9])
def test_pruned_mixtures_choose_among_the_experts_that_stay(
    form: Callable[[], onnx.ModelProto], ratio: float
) -> None:
    model = form()
    result = half_result(model, ratio, granularity=("experts",))
    (cut,) = result.plan.cuts
    gone = sorted(set(range(EXPERTS)) - set(cut.keep[0]))
    assert len(cut.keep[0]) == max(round(EXPERTS * (1 - ratio)), 1 if form is switched else 2)
    for seed in range(5):
        feeds = random_feeds(model, seed)
        expected = run(without(model, gone), feeds)
        for want, got in zip(expected, run(result.model, feeds), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
def test_the_proof_sees_what_chosen_experts_compute(form: Callable[[], onnx.ModelProto]) -> None:
    model = form()
    result = half_result(model, granularity=("experts",))
    proof = result.report.proof
    assert proof is not None
    assert not proof.skipped
    assert len(proof.outputs) == len(model.graph.output)
    wrong = result.model
    experts = max(
        (t for t in wrong.graph.initializer if t.data_type == 1), key=lambda t: t.ByteSize()
    )
    array = numpy_helper.to_array(experts).copy()
    experts.CopyFrom(numpy_helper.from_array(np.flip(array, 0), experts.name))
    with pytest.raises(spa_onnx.ProofFailedError):
        spa_onnx.verify(model, wrong, result.plan)


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
def test_everything_else_of_a_mixture_is_cut_too(form: Callable[[], onnx.ModelProto]) -> None:
    kinds = spa_onnx.analyze(form()).kinds()
    assert {"experts", "residual"} <= set(kinds)
    if form not in (switched, two_steps, gathered_by_rows):
        assert "ffn" in kinds
    half_result(form(), granularity=("no-experts",))
    half_result(form())


@pytest.mark.parametrize("form", [scattered, gathered], ids=lambda f: f.__name__)
def test_experts_or_their_neurons_are_cut(form: Callable[[], onnx.ModelProto]) -> None:
    cut = {d.kind for d in spa_onnx.analyze(form()).dims}
    assert len(cut & {"experts", "ffn"}) == 1


def test_as_many_stay_as_are_chosen_under_every_allocation() -> None:
    for budget in (spa_onnx.Ratio(0.95), spa_onnx.KeepParams(0.8)):
        config = spa_onnx.PruneConfig(budget, "l2", granularity=("experts",))
        (cut,) = spa_onnx.prune(scattered(), config).plan.cuts
        assert len(cut.keep[0]) >= 2


def test_a_plan_with_fewer_is_refused() -> None:
    result = half_result(scattered(), 0.9, granularity=("experts",))
    text = result.plan.to_json().replace(f'"{cut_text(result)}"', '"0"')
    plan = spa_onnx.Plan.from_json(text, "")
    with pytest.raises(spa_onnx.SpaError, match="fewer than 2 lanes"):
        spa_onnx.apply(scattered(), plan)


def cut_text(result: spa_onnx.PruneResult) -> str:
    first, second = result.plan.cuts[0].keep[0]
    return f"{first}-{second}" if second == first + 1 else f"{first},{second}"


def compared() -> onnx.ModelProto:
    """Every expert asks by number whether it was chosen."""
    m = Mixture()
    _, places = m.best()
    hits = m.g.node("Equal", [places, m.g.constant(np.array(3))])
    return m.finish(m.g.reduce("ReduceSum", m.g.node("Cast", [hits], to=1), 1))


def shown() -> onnx.ModelProto:
    m = Mixture()
    values, places = m.best()
    zeros = m.g.constant(np.zeros((ROWS, EXPERTS), np.float32))
    return m.finish(m.dense(m.g.node("ScatterElements", [zeros, places, values], axis=1)), places)


def counted_by_another_length() -> onnx.ModelProto:
    m = Mixture()
    _, places = m.best()
    table = m.g.weight(EXPERTS + 1, WIDTH, fan_in=1, name="table")
    rows = m.g.node("Gather", [table, places])
    return m.finish(m.g.reduce("ReduceSum", rows, 1, keepdims=False))


def looped() -> onnx.ModelProto:
    """Lane numbers are shuffled as data: a product of their own axis."""
    m = Mixture()
    _, places = m.best(k=4)
    mixed = m.g.reshape(m.g.transpose(m.g.reshape(places, (ROWS, 2, 2)), 0, 2, 1), (ROWS, 4))
    zeros = m.g.constant(np.zeros((ROWS, EXPERTS), np.float32))
    ones = m.g.constant(np.ones((ROWS, 4), np.float32))
    return m.finish(m.dense(m.g.node("ScatterElements", [zeros, mixed, ones], axis=1)))


@pytest.mark.parametrize(
    ("form", "why"),
    [
        (compared, "the numbers of chosen lanes are read as data"),
        (shown, "the numbers of chosen lanes are a result"),
        (counted_by_another_length, "the numbers of chosen lanes are read as data"),
    ],
)
def test_numbers_that_are_read_otherwise_fix_the_experts(
    form: Callable[[], onnx.ModelProto], why: str
) -> None:
    assert why in reasons(form(), "router", 1)
    assert "experts" not in spa_onnx.analyze(form()).kinds()


def test_numbers_that_only_move_stay_lane_numbers() -> None:
    half_result(looped(), granularity=("no-heads",))


def test_sorting_all_lanes_fixes_them() -> None:
    m = Mixture()
    values, _ = m.best(k=EXPERTS)
    model = m.finish(m.g.linear(values, WIDTH))
    assert "the best 6 are chosen" in reasons(model, "router", 1)
