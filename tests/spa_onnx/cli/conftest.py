"""The model that the command tests prune: two convolutions and a linear head."""

from pathlib import Path

import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import run, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    g = GraphBuilder()
    x = g.input("image", ("batch", 3, 8, 8))
    y = g.relu(g.conv(x, 8, 3))
    y = g.relu(g.conv(y, 12, 3))
    graph = g.model(g.gemm(g.flatten(g.global_average_pool(y)), 4))
    path = tmp_path / "model.onnx"
    write_model(graph, path)
    return path


@pytest.fixture
def output(model: Path) -> Path:
    return model.with_name("pruned.onnx")


@pytest.fixture
def plan(model: Path, output: Path) -> Path:
    """The plan of a run; its result lies at ``output``."""
    path = model.with_name("plan.json")
    options = ("--importance", "l2", "--plan-out", path, "--no-verify", "--quiet")
    result = run("prune", model, "-o", output, *options)
    assert result.exit_code == 0, result.output
    return path
