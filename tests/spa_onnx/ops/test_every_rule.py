"""Facts that hold for every operator of ``RULES``, in every form that ``cases/`` lists.

The proof inside ``prune`` already compares with a masked original; what is claimed here is read
from ONNX Runtime and the files alone.
"""

from functools import cache

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.algebra.expression import sizes_of
from spa_onnx.algebra.size import evaluate
from spa_onnx.analyse.dims import Analysis
from spa_onnx.ops.rules import RULES
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.ops.cases.all_cases import CASES
from tests.spa_onnx.ops.cases.case import Case
from tests.spa_onnx.ops.lanewise import changed, disturbances, every_value, holders

RUNNING = [case for case in CASES if case.runs]
SIZES = {"N": 2, "T": 2}
ROUNDS = ((0.5, 0), (0.3, 1), (0.8, 2))


@cache
def analysed(case: Case) -> Analysis:
    return spa_onnx.analyze(case.model)


def pruned(case: Case, ratio: float, seed: int = 0) -> spa_onnx.PruneResult:
    config = spa_onnx.PruneConfig(
        budget=spa_onnx.Ratio(ratio), importance="random", seed=seed, verify=case.runs
    )
    return spa_onnx.prune(case.model, config)


def first_weight(model: onnx.ModelProto) -> str:
    """Return the weight of the layer in front of the operator."""
    stored: set[str] = {weight.name for weight in model.graph.initializer}
    layers: list[onnx.NodeProto] = [
        n for n in model.graph.node if n.op_type in ("Conv", "Gemm", "MatMul", "Gather", "GatherND")
    ]
    return next(str(name) for node in layers for name in node.input if name in stored)


def test_every_rule_has_a_case() -> None:
    assert {case.op for case in CASES} == set(RULES)


def test_every_case_is_named_once() -> None:
    names = list(map(str, CASES))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", RUNNING, ids=str)
def test_sizes_are_those_that_onnx_runtime_gives(case: Case) -> None:
    state = analysed(case).propagation
    values = every_value(case.model)
    for name, array in values.items():
        axes = state.axes_of(name)
        if axes is None:
            continue
        unknown = dict.fromkeys(_symbols(sizes_of(axes)) - SIZES.keys(), -1)
        sizes = [evaluate(n, SIZES | unknown) for n in sizes_of(axes)]
        assert sizes == list(array.shape) or unknown, name
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        if node.op == case.op and coupling is not None:
            assert all(axes is not None for axes in coupling.outputs), "a rule names all outputs"


def _symbols(sizes: tuple[object, ...]) -> set[str]:
    terms = (term for size in sizes for term in getattr(size, "terms", ()))
    return {name for monomial, _ in terms for name in monomial}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_operator_is_not_refused(case: Case) -> None:
    analysis = analysed(case)
    first = first_weight(case.model)
    members = {m.tensor for d in analysis.dims for m in d.members if m.role == "produces"}
    assert (first in members) == case.cut
    assert not analysis.propagation.unknown_ops


@pytest.mark.parametrize(("ratio", "seed"), ROUNDS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_pruned_model_is_proved_valid_and_smaller(case: Case, ratio: float, seed: int) -> None:
    if not analysed(case).dims:
        assert not case.cut
        return
    model = case.model
    result = pruned(case, ratio, seed)
    small = result.model
    if case.checkable:
        onnx.checker.check_model(small, full_check=True)
    assert result.report.after.parameters < result.report.before.parameters
    assert list(small.graph.output) == list(model.graph.output)
    if case.runs:
        feeds = random_feeds(model)
        for before, after in zip(run(model, feeds), run(small, feeds), strict=True):
            assert after.shape == before.shape


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_changes_at_ratio_zero(case: Case) -> None:
    if not analysed(case).dims:
        with pytest.raises(spa_onnx.NothingToPruneError):
            pruned(case, 0.0)
        return
    result = pruned(case, 0.0)
    assert result.plan.cuts == ()
    assert result.model == case.model


def static_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in random_feeds(model, sizes=SIZES).items()}


@pytest.mark.parametrize("case", RUNNING, ids=str)
def test_lanes_that_are_not_mixed_stay_apart(case: Case) -> None:
    """A lane of an input reaches only the elements of outputs that hold this lane."""
    model = case.model
    state = spa_onnx.analyze(model, input_shapes=static_shapes(model)).propagation
    values = every_value(model)
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        tensors = filter(None, (*node.inputs, *node.outputs))
        if node.op != case.op or coupling is None or not values.keys() >= set(tensors):
            continue
        outputs = [name for name in node.outputs if name]
        if any(_symbols(sizes_of(state.axes_of(name) or ())) for name in outputs):
            continue  # which lanes a tensor of run-time length holds cannot be told
        for disturbed in disturbances(state, node, coupling, values):
            dim, lane = disturbed.dim, disturbed.lane
            axes = state.axes_of(node.inputs[disturbed.input]) or ()
            where = holders(state, axes, dim, lane)
            for name, moved in zip(outputs, changed(model, values, disturbed, where), strict=True):
                allowed = holders(state, state.axes_of(name) or (), dim, lane)
                assert not (moved & ~np.broadcast_to(allowed, moved.shape)).any(), str(disturbed)
