from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from spa_onnx.load.model import load
from spa_onnx.lower.cuda.trial import (
    MOST_COPIES,
    MOST_RUNS,
    ROUNDS,
    TURN,
    as_layer,
    copies_of,
    in_turns,
    measure,
    random,
)
from spa_onnx.lower.cuda.ways import count_tiles, ways_to_pack
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import packed_weight
from spa_onnx.lower.sizes import Shapes
from spa_onnx.lower.trial import Trial
from spa_onnx.lower.view import View
from spa_onnx.lower.weights import bias, matrix
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.cuda import CudaDevice, CudaLayer, Runner
from spa_onnx.runtime.packed_kinds import Kind
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.spa_onnx.lower.models import MODELS, built, feeds_of

GPU = CudaDevice("fast", 9, 0, 100, False, 13000, 13000, 80 << 30, 50 << 20, 227 << 10)


class FakeRunner(Runner):
    """Takes so many microseconds a run, more in every third turn."""

    def __init__(self, each: float) -> None:
        super().__init__(ctypes.CDLL(None), ctypes.c_void_p())
        self.each = each
        self.runs: list[int] = []

    def time(self, runs: int) -> float:
        self.runs.append(runs)
        return runs * self.each * (5 if len(self.runs) % 3 == 0 else 1)

    def close(self) -> None:
        pass


def test_every_way_has_its_turns_and_the_median_counts() -> None:
    runners = {"dense": FakeRunner(10.0), "2:4": FakeRunner(4.0)}
    times = in_turns(runners, {"dense": 3, "2:4": 7})
    assert times == {"dense": 10.0, "2:4": 4.0}
    for runner, copies in ((runners["dense"], 3), (runners["2:4"], 7)):
        turns = runner.runs[2:]
        assert len(turns) == ROUNDS
        assert len(set(turns)) == 1
        assert turns[0] % copies == 0
        assert turns[0] * runner.each >= TURN / 5  # a first guess may be too long by its noise


def test_a_graph_of_runs_has_an_end() -> None:
    runners = {"dense": FakeRunner(1e-3), "instant": FakeRunner(0.0)}
    in_turns(runners, {"dense": 1000, "instant": 1})
    assert max(runners["dense"].runs) == MOST_RUNS // 1000 * 1000
    assert max(runners["instant"].runs) == MOST_RUNS


def test_copies_exceed_the_cache_twice() -> None:
    for size in (1 << 20, 30 << 20, 3 << 30):
        copies = copies_of(size, GPU)
        assert copies >= 2
        assert (copies - 1) * size >= 2 * GPU.cache
    assert copies_of(100, GPU) == MOST_COPIES


def trial_of(name: str, dtype: Any, opset: int) -> Trial:
    """Return the last layer of a small model of 16 bits as it is timed."""
    model = built(MODELS[name], opset, dtype)
    view = View.of(normalise(load(model)))
    shapes = Shapes.of(view, feeds_of(model))
    layer = find_layers(view, "cuda").layers[-1]
    dense, x, y = matrix(view, layer.source), shapes(layer.x), shapes(layer.y)
    assert x is not None
    assert y is not None
    is_linear = layer.kind == "linear"
    ways = ways_to_pack(count_tiles(dense), tokens=6, is_linear=is_linear)
    return Trial(layer, lambda: dense, bias(view, layer), x, y, tuple(ways))


@pytest.mark.parametrize("name", ["1x1 with stride", "two branches", "perceptron", "gemm"])
@pytest.mark.parametrize(("dtype", "opset"), [(np.float16, 17), (bfloat16, 22)])
def test_a_layer_is_timed_as_it_is_lowered(name: str, dtype: Any, opset: int) -> None:
    trial = trial_of(name, dtype, opset)
    values = trial.layer.values
    x, y = random(trial.x, values, 0), random(trial.y, values, 1)
    packed = packed_weight(trial.weight(), trial.ways[0], values)
    layer = as_layer(trial, packed, x, y)
    assert layer.y_shape == trial.y
    assert layer.x.dtype == np.dtype(dtype)
    assert (layer.residual is not None) == bool(trial.layer.residual)
    assert layer.activation == trial.layer.activation.name


@needs_emulator
def test_emulated_layers_run_once_and_none_is_faster_than_dense() -> None:
    trial = trial_of("perceptron", np.float16, 17)
    library = cuda_library()
    timing = measure(trial, library, library.device())
    assert set(timing.ways) == {str(way) for way in trial.ways}
    assert timing.dense == timing.best[1]


class Kernels:
    """A library that only says what it has, and prepares what takes a microsecond."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.prepared: list[str | None] = []

    def kernels(self, layer: CudaLayer) -> tuple[str, ...]:
        return self.names

    def prepare(self, layer: CudaLayer, copies: int) -> FakeRunner:
        self.prepared.append(layer.kernel)
        return FakeRunner(1.0)

    def prepare_dense(self, *_: Any) -> FakeRunner:
        return FakeRunner(2.0)


@pytest.mark.parametrize("names", [("ours", "cusparselt"), ("cusparselt", "ours"), ("ours",)])
def test_two_of_four_is_measured_with_another_library_where_there_is_one(
    names: tuple[str, ...],
) -> None:
    trial = replace(trial_of("gemm", np.float16, 17), ways=(Packing(Kind.TWO_OF_FOUR),))
    library: Any = Kernels(*names)
    timing = measure(trial, library, GPU)
    expected = {"2:4": 1.0}
    if len(names) > 1:
        expected["2:4 by cusparselt"] = 1.0
    assert (timing.dense, timing.ways) == (2.0, expected)
    assert library.prepared == ["ours", "cusparselt"][: len(names)]
