"""Random graphs survive pruning: proved by the library, and sound by what can be seen outside it.

``prune`` compares the pruned model with its masked reference and raises ``ProofFailedError`` where
they differ. The checks here read nothing but the two files and ONNX Runtime.
"""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import spa_onnx
from tests.onnx_runs import random_feeds, run, true_inputs
from tests.random_graphs import BLOCKS, Block, graph_of_block, models, random_model

SEEDS = range(330)
SEEDS_A_TEST = 11
OTHER_SIZES = {"N": 3, "T": 6, "S": 4}


def prune_at_random(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Prune random lanes at a ratio between 0.2 and 0.7.

    Raises:
        NothingToPruneError: if no lane may go.
        ProofFailedError: if the result differs from the masked original.
    """
    ratio = float(np.random.default_rng([seed, 99]).uniform(0.2, 0.7))
    budget = spa_onnx.Ratio(ratio)
    config = spa_onnx.PruneConfig(budget=budget, importance="random", seed=seed)
    return spa_onnx.prune(model, config).model


def assert_sound(model: onnx.ModelProto, pruned: onnx.ModelProto) -> None:
    """The pruned file is valid, smaller, runs on every size, and looks the same from outside."""
    onnx.checker.check_model(pruned, full_check=True)
    assert_same_interface(model, pruned)
    assert parameters(pruned) < parameters(model)
    assert unused_initializers(pruned) == set()
    for sizes in ({}, OTHER_SIZES):
        feeds = random_feeds(model, 5, sizes)
        for before, after in zip(run(model, feeds), run(pruned, feeds), strict=True):
            assert after.shape == before.shape
            assert after.dtype == before.dtype
            assert np.isfinite(after).all()


def assert_same_interface(model: onnx.ModelProto, pruned: onnx.ModelProto) -> None:
    """Inputs, outputs, versions and metadata are the original's."""
    assert true_inputs(pruned) == true_inputs(model)
    assert list(pruned.graph.output) == list(model.graph.output)
    assert list(pruned.opset_import) == list(model.opset_import)
    assert pruned.ir_version == model.ir_version
    assert metadata(model).items() <= metadata(pruned).items()


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def parameters(model: onnx.ModelProto) -> int:
    """Return the number of floats stored in initializers and Constant nodes."""
    constants = [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    ]
    arrays = map(numpy_helper.to_array, [*model.graph.initializer, *constants])
    return sum(array.size for array in arrays if array.dtype == np.float32)


def unused_initializers(model: onnx.ModelProto) -> set[str]:
    used = {name for node in model.graph.node for name in node.input}
    outputs = {info.name for info in model.graph.output}
    return {weight.name for weight in model.graph.initializer} - used - outputs


def sound_after_pruning(model: onnx.ModelProto, seed: int) -> bool:
    """Prune and check; say whether anything could be pruned."""
    before = model.SerializeToString()
    try:
        pruned = prune_at_random(model, seed)
    except spa_onnx.NothingToPruneError:
        return False
    assert model.SerializeToString() == before, "prune changed its argument"
    assert_sound(model, pruned)
    return True


@pytest.mark.parametrize("start", SEEDS[::SEEDS_A_TEST])
def test_random_graphs_survive_pruning(start: int, subtests: pytest.Subtests) -> None:
    pruned: list[bool] = []
    for seed in SEEDS[start : start + SEEDS_A_TEST]:
        with subtests.test(seed=seed):
            pruned.append(sound_after_pruning(random_model(seed), seed))
    # Of these seeds some three in a hundred have every lane at a graph output.
    assert 4 * sum(pruned) >= 3 * len(pruned), "too many graphs without a lane to prune"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_survives_pruning(block: Block, subtests: pytest.Subtests) -> None:
    for seed in range(4):
        graph = graph_of_block(block, seed)
        opset = graph.model.opset_import[0].version
        with subtests.test(seed=seed, opset=opset):
            sound_after_pruning(graph.model, seed)


@given(model=models(), seed=st.integers(0, 99))
@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
def test_any_graph_survives_pruning(model: onnx.ModelProto, seed: int) -> None:
    sound_after_pruning(model, seed)


@pytest.mark.parametrize("seed", [0, 11, 22, 33])
def test_a_seed_always_prunes_the_same(seed: int) -> None:
    try:
        first, second = (prune_at_random(random_model(seed), seed) for _ in range(2))
    except spa_onnx.NothingToPruneError:
        pytest.skip("nothing to prune in this graph")
    assert first.SerializeToString() == second.SerializeToString()
