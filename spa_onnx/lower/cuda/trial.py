"""One layer alone on a GPU, dense by cuBLASLt and with each packing of its weight.

What takes turns are graphs of many runs, timed by the device's own events. Every run has other
copies of the tensors than the one before, as many as its second-level cache holds twice, so none
finds its weight there: in a whole model other layers have been there in between. The dense one has
neither bias nor activation, which is in its favour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np
import numpy.typing as npt

from spa_onnx.lower.cuda.ways import CUSPARSELT, by_engine
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import packed_weight
from spa_onnx.lower.trial import DENSE, Timing, Trial
from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLayer, CudaLibrary, Half, Runner
from spa_onnx.runtime.packed_kinds import ValueType

ROUNDS = 11
"""Turns of every runner, of which the median counts."""

TURN = 2000.0
"""Microseconds that a turn takes at least."""

MOST_RUNS = 4096
"""Runs of a turn: nodes of one CUDA graph."""

MOST_COPIES = 1024

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that is timed.

    Attributes:
        runner: runs it.
        runs: of a turn: every copy as often as any other.
    """

    runner: Runner
    runs: int

    def time(self) -> float:
        """Return the microseconds of one run, the mean of a turn."""
        return self.runner.time(self.runs) / self.runs


def measure(trial: Trial, library: CudaLibrary, device: CudaDevice) -> Timing:
    """Return how long a layer takes, dense and in every way.

    Raises:
        CudaError: the library refuses it, or the device has no room for it.
    """
    x, y = random(trial.x, trial.layer.values, 0), random(trial.y, trial.layer.values, 1)
    matrix = trial.weight()
    rows, columns = trial.layer.shape
    copies: dict[str, int] = {}
    runners: dict[str, Runner] = {}
    with ExitStack() as stack:
        for way in trial.ways:
            plain = as_layer(trial, packed_weight(matrix, way, trial.layer.values), x, y)
            many = copies_of(len(plain.packed) + 2 * (x.size + y.size), device)
            for name, layer in _variants(plain, way, library):
                runner = _prepared(library, layer, 1 if device.emulated else many)
                if runner is not None:
                    copies[name] = 1 if device.emulated else many
                    runners[name] = stack.enter_context(runner)
        if device.emulated:
            return emulated_timing(runners)
        tokens = prod(trial.y) // rows
        kind: Half = "float16" if trial.layer.values == ValueType.FLOAT16 else "bfloat16"
        copies[DENSE] = copies_of(2 * (rows * columns + tokens * (rows + columns)), device)
        dense = library.prepare_dense(rows, columns, tokens, kind, copies[DENSE])
        runners[DENSE] = stack.enter_context(dense)
        times = in_turns(runners, copies)
    return Timing(times.pop(DENSE), 0.0, 0.0, times)


def _prepared(library: CudaLibrary, layer: CudaLayer, copies: int) -> Runner | None:
    """Return copies of a layer; None if another library than ours, which is there, refuses it.

    Raises:
        CudaError: ours refuses it, or the device has no room for it.
    """
    try:
        return library.prepare(layer, copies)
    except CudaError:
        if layer.kernel != CUSPARSELT:
            raise
        return None


def _variants(
    layer: CudaLayer, way: Packing, library: CudaLibrary
) -> Iterator[tuple[str, CudaLayer]]:
    """Yield a layer by our kernels, and by another library where there is one, with their names."""
    kernels = library.kernels(layer)
    ours = next((kernel for kernel in kernels if kernel != CUSPARSELT), None)
    yield str(way), replace(layer, kernel=ours)
    if CUSPARSELT in kernels:
        for other in by_engine([way]):
            yield str(other), replace(layer, kernel=CUSPARSELT)


def emulated_timing(runners: Mapping[str, Runner]) -> Timing:
    """Return times that mean nothing: one run of each, and dense as fast as the fastest.

    There is no cuBLASLt without a GPU.
    """
    times = {name: runner.time(1) for name, runner in runners.items()}
    return Timing(min(times.values()), 0.0, 0.0, times)


def as_layer(trial: Trial, packed: bytes, x: Array, y: Array) -> CudaLayer:
    """Return a layer as the library takes it; ``y`` is a tensor of its result's shape."""
    layer = trial.layer
    return CudaLayer(
        packed,
        x,
        None if trial.bias is None else layer.rounded(trial.bias),
        y if layer.residual else None,
        layer.activation.name,
        layer.activation.low,
        layer.activation.high,
        None if layer.window is None else layer.window.strides,
    )


def random(shape: tuple[int, ...], values: ValueType, seed: int) -> Array:
    """Return normal numbers of a type."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32).astype(values.dtype)


def copies_of(size: int, device: CudaDevice) -> int:
    """Return how many copies of so many bytes the cache does not hold by half."""
    return min(MOST_COPIES, 1 + ceil(2 * device.cache / size))


def in_turns(runners: Mapping[str, Runner], copies: Mapping[str, int]) -> dict[str, float]:
    """Return the microseconds of one run of each, the medians of turns whose order changes."""
    turns = {name: _turn(runner, copies[name]) for name, runner in runners.items()}
    times: dict[str, list[float]] = {name: [] for name in turns}
    names, order = list(turns), np.random.default_rng(0)
    for _ in range(ROUNDS):
        for k in order.permutation(len(names)):
            times[names[k]].append(turns[names[k]].time())
    return {name: float(np.median(taken)) for name, taken in times.items()}


def _turn(runner: Runner, copies: int) -> Turn:
    """Return a turn that is long enough; warms up on the way."""
    runner.time(copies)
    once = runner.time(copies)
    often = ceil(TURN / once) if once > 0 else MOST_RUNS
    return Turn(runner, copies * max(1, min(often, MOST_RUNS // copies)))
