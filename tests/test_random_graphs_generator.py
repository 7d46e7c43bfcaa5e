"""The random graphs are worth pruning: valid, alive, and made of every block we know."""

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings

from tests.onnx_runs import random_feeds, run, true_inputs
from tests.random_graphs import (
    BLOCKS,
    OPSETS,
    STEMS,
    Block,
    RandomGraph,
    graph_of_block,
    models,
    random_graph,
    random_model,
)

SPREAD = range(400)
# Least change of an output, relative to its size, that counts as seeing the input.
SENSITIVE = 1e-3


@pytest.fixture(scope="module")
def graphs() -> list[RandomGraph]:
    return [random_graph(seed) for seed in SPREAD]


@pytest.fixture(scope="module")
def used(graphs: list[RandomGraph]) -> frozenset[str]:
    """Labels of the blocks and variants in the spread, or in four small graphs of each block."""
    small = [graph_of_block(block, seed) for block in BLOCKS for seed in range(4)]
    return frozenset[str]().union(*(graph.used for graph in [*graphs, *small]))


def assert_alive(graph: RandomGraph) -> None:
    """Outputs are finite, vary over their entries, and differ between two random inputs."""
    first, second = (run(graph.model, random_feeds(graph.model, seed)) for seed in (1, 2))
    for a, b in zip(first, second, strict=True):
        assert np.isfinite(a).all()
        assert np.isfinite(b).all()
        assert a.std() > SENSITIVE * np.abs(a).max()
        assert np.abs(a - b).max() > SENSITIVE * np.abs(a).max()


@pytest.mark.parametrize("start", SPREAD[::40])
def test_every_graph_is_alive(
    graphs: list[RandomGraph], start: int, subtests: pytest.Subtests
) -> None:
    # The builder ran onnx.checker with full shape inference on each of them.
    for seed in SPREAD[start : start + 40]:
        with subtests.test(seed=seed):
            assert_alive(graphs[seed])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.name)
def test_every_block_is_alive_in_every_opset_it_knows(
    block: Block, subtests: pytest.Subtests
) -> None:
    for opset in OPSETS:
        if opset >= block.since:
            with subtests.test(opset=opset):
                graph = graph_of_block(block, seed=opset, opset=opset)
                assert block.name in graph.used
                assert_alive(graph)


def test_every_block_occurs_in_the_spread(graphs: list[RandomGraph]) -> None:
    labels = frozenset[str]().union(*(graph.used for graph in graphs))
    assert {block.name for block in BLOCKS} | {stem.name for stem in STEMS} <= labels


# Families of variants, by the label in front of the colon.
FAMILIES = {
    "activation": 9,
    "attention_scale": 3,
    "bias": 3,
    "conv_1d": 3,
    "conv_transpose": 3,
    "crelu": 2,
    "directions": 2,
    "einsum": 2,
    "gelu": 2,
    "group_norm": 2,
    "hard_swish": 3,
    "head": 4,
    "layer_norm": 3,
    "maxout": 3,
    "norm": 5,
    "pixel_shuffle": 4,
    "qkv": 4,
    "recurrent": 2,
    "repeat": 4,
    "reshape": 3,
    "weight": 4,
}


@pytest.mark.parametrize(("family", "members"), FAMILIES.items())
def test_every_variant_occurs(used: frozenset[str], family: str, members: int) -> None:
    assert len({label for label in used if label.startswith(f"{family}:")}) == members


def test_every_kind_of_file_occurs(graphs: list[RandomGraph]) -> None:
    files = [graph.model for graph in graphs]
    assert {model.opset_import[0].version for model in files} == set(OPSETS)
    assert any(model.ir_version == 3 for model in files)
    assert any(len(model.graph.output) > 1 for model in files)
    assert any(len(true_inputs(model)) > 1 for model in files)
    symbols = {
        dim.dim_param
        for model in files
        for info in model.graph.input
        for dim in info.type.tensor_type.shape.dim
    }
    assert {"N", "T", "S"} <= symbols


def test_initializers_are_graph_inputs_in_ir_version_3(graphs: list[RandomGraph]) -> None:
    for model in (graph.model for graph in graphs):
        weights = {weight.name for weight in model.graph.initializer}
        listed = weights & {info.name for info in model.graph.input}
        assert listed == (weights if model.ir_version == 3 else set())


@pytest.mark.parametrize("sizes", [{"N": 1, "T": 4, "S": 1}, {"N": 3, "T": 7, "S": 4}])
def test_symbolic_axes_take_any_size(
    graphs: list[RandomGraph], sizes: dict[str, int], subtests: pytest.Subtests
) -> None:
    for seed, graph in enumerate(graphs[:150]):
        with subtests.test(seed=seed):
            for output in run(graph.model, random_feeds(graph.model, 1, sizes)):
                assert np.isfinite(output).all()


def test_no_weight_is_left_unused(graphs: list[RandomGraph]) -> None:
    for model in (graph.model for graph in graphs):
        used = {name for node in model.graph.node for name in node.input}
        assert {weight.name for weight in model.graph.initializer} <= used


def test_a_seed_always_gives_the_same_file() -> None:
    assert random_model(7).SerializeToString() == random_model(7).SerializeToString()


def test_fewer_blocks_are_a_prefix() -> None:
    longer, shorter = random_model(3, blocks=4), random_model(3, blocks=3)
    # The head differs; weights of the blocks before it are the same.
    names = {weight.name: weight for weight in longer.graph.initializer}
    same = [names.get(weight.name) == weight for weight in shorter.graph.initializer]
    assert np.argmin([*same, False]) > len(same) // 2


@given(model=models())
@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
def test_the_strategy_gives_models_that_run(model: onnx.ModelProto) -> None:
    assert run(model, random_feeds(model))
