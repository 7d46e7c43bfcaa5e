from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from spa_onnx.load.model import load
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import packed_weight
from spa_onnx.lower.sizes import Shapes
from spa_onnx.lower.trial import WARM_UP, Trial, dense_model, measure, read_parts, sparse_model
from spa_onnx.lower.view import View
from spa_onnx.lower.weights import bias, matrix
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.library import library_path
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.lower.models import MODELS, built, feeds_of
from tests.spa_onnx.lower.reference import evaluate


def trials(name: str, ways: tuple[Packing, ...]) -> list[Trial]:
    """Return the layers of a small model as they are timed."""
    model = built(MODELS[name])
    view = View.of(normalise(load(model)))
    shapes = Shapes.of(view, feeds_of(model))
    found = []
    for layer in find_layers(view).layers:
        x, y, dense = shapes(layer.x), shapes(layer.y), matrix(view, layer.source)
        assert x is not None
        assert y is not None
        own = () if layer.kind == "depthwise" else ways
        found.append(Trial(layer, lambda dense=dense: dense, bias(view, layer), x, y, own))
    return found


@pytest.mark.parametrize("name", MODELS)
def test_both_models_of_a_layer_compute_the_same(name: str) -> None:
    for trial in trials(name, (Packing(1, 4),)):
        way = trial.ways[0] if trial.ways else None
        dense = dense_model(trial, trial.weight())
        packed = sparse_model(trial, packed_weight(trial.weight(), way))
        onnx.checker.check_model(dense, full_check=True)
        feeds = feeds_of(dense)
        expected: Any = ReferenceEvaluator(dense).run(None, feeds)
        np.testing.assert_allclose(evaluate(packed, feeds)[0], expected[0], rtol=1e-4, atol=1e-5)


@needs_kernels
def test_every_way_of_a_layer_is_timed() -> None:
    ways = (Packing(1, 4), Packing(1, 4, 0, 2), Packing(2))
    (trial,) = trials("shared weight", ways)[:1]
    timing = measure(trial, 1, library_path())
    assert list(timing.ways) == ["4x1", "4x1 by 2", "bitmask"]
    assert all(time >= 0 for time in (timing.dense, *timing.ways.values()))
    assert timing.into == timing.back == 0
    assert timing.best == min(timing.ways.items(), key=lambda way: way[1])


def event(name: str, op: str, time: float) -> dict[str, object]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": time, "args": {"op_name": op}}


def test_changes_of_layout_are_told_from_kernels(tmp_path: Path) -> None:
    runs = 8
    events = [{"cat": "Session", "name": "model_run", "dur": 9e9}]
    for k in range(WARM_UP + runs):
        late = 1000.0 if k < WARM_UP else 0.0  # the first runs do not count
        events += [
            event("in", "ReorderInput", 3 + late),
            event("in2", "ReorderInput", 2 + late),
            event("conv", "Conv", 20 + late),
            event("add", "Add", 5 + late),
            event("out", "ReorderOutput", 4 + late),
        ]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(events))
    assert read_parts(path, runs) == {"kernel": 25, "into": 5, "back": 4}


def test_slow_runs_of_a_busy_machine_do_not_count(tmp_path: Path) -> None:
    times = [900.0] * WARM_UP + [10.0, 10.0, 10.0, 4000.0, 4000.0, 10.0, 4000.0, 4000.0]
    path = tmp_path / "profile.json"
    path.write_text(json.dumps([event("layer", "MatMul", time) for time in times]))
    assert read_parts(path, len(times) - WARM_UP)["kernel"] == 10
