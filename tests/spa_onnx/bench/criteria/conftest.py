"""One unit of work on a small model."""

from pathlib import Path

import pytest

from spa_onnx.bench.criteria.unit import Unit
from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import write_model

EVALUATION = f"{Path(__file__).with_name('evaluation.py')}:parameters"
L2 = '[importance]\npass = "l2"\n'


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    g = GraphBuilder()
    model = g.model(g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 16)), 4))
    path = tmp_path / "model.onnx"
    write_model(model, path)
    return Unit(str(path), "digest", "mine", L2, "ratio", 0.5, 0, evaluation=EVALUATION)
