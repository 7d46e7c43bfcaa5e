"""Seconds of layers, in rounds in which all ways to run them take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.models import dense_sessions, sparse_session
from spa_onnx.bench.kernels.shapes import Layer
from spa_onnx.bench.kernels.weights import Form, forms, masked
from spa_onnx.errors import SpaError
from spa_onnx.sparse.pattern import Pattern, parse_pattern

FloatArray = NDArray[np.float64]
TUNING_ROUNDS = 3
ROUND_SECONDS = 0.02
"""That a session runs in one round, at least."""


class WrongLayerError(SpaError):
    """A sparse layer's output is not the dense one's."""

    def __init__(self, layer: Layer, form: Form, distance: float) -> None:
        super().__init__(f"layer {layer}, packed as {form}: output differs by {distance:.3g}")


@dataclass(frozen=True, slots=True)
class Timing:
    """One layer with one pattern.

    Attributes:
        dense: seconds of the runtime's fastest way.
        way: that way's name.
        sparse: seconds of ours.
        form: how its weight is packed.
        ratio: median over rounds of dense over sparse.
        stored: weights that are stored.
    """

    layer: Layer
    pattern: str
    sparsity: float
    dense: float
    way: str
    sparse: float
    form: Form
    ratio: float
    stored: int

    @property
    def gigaflops(self) -> float:
        """Return billions of operations a second on weights that are stored."""
        return 2e-9 * self.stored * self.layer.positions / self.sparse


@dataclass(frozen=True, slots=True)
class Bench:
    """How layers are timed.

    Attributes:
        threads: of every session. With one, its thread's CPU time is taken, else wall-clock time.
        rounds: in which all ways take turns.
        half: store values as float16.
    """

    threads: int = 1
    rounds: int = 9
    half: bool = False

    @property
    def clock(self) -> Callable[[], float]:
        """Return the time in seconds."""
        return time.thread_time if self.threads == 1 else time.perf_counter

    def time(self, layer: Layer, name: str, sparsity: float, megabytes: int) -> Timing:
        """Return how long a layer takes, with the best of the forms that suit it."""
        pattern = parse_pattern(name)
        copies = max(3, round(megabytes * 1e6 / (4 * footprint(layer))))
        random = np.random.default_rng(0)
        weights = [masked(layer, pattern, sparsity, random) for _ in range(copies)]
        inputs = [random.standard_normal(layer.x_shape, np.float32) for _ in weights]
        dense = {
            way: Bound(found, inputs, layer)
            for way, found in dense_sessions(layer, weights, self.threads).items()
        }
        form = self.best_form(layer, pattern, weights, inputs, dense)
        ours = Bound(sparse_session(layer, weights, form, self.threads), inputs, layer)
        seconds = self.rounds_of({**dense, "sparse": ours}, self.rounds)
        way = min(dense, key=lambda way: float(np.median(seconds[way])))
        return Timing(
            layer, name, pattern.sparsity or sparsity, float(np.median(seconds[way])) / copies, way,
            float(np.median(seconds["sparse"])) / copies, form,
            float(np.median(seconds[way] / seconds["sparse"])), int(np.count_nonzero(weights[0])),
        )  # fmt: skip

    def best_form(
        self, layer: Layer, pattern: Pattern, weights: Sequence[Any], inputs: Sequence[Any],
        dense: Mapping[str, Bound],
    ) -> Form:  # fmt: skip
        """Return the form that took the least time in a few rounds, each checked."""
        few = max(3, len(weights) // 4)
        expected = dense["nchw" if "nchw" in dense else "dense"].first()
        times: dict[Form, float] = {}
        candidates = [self.with_half(form) for form in forms(layer, pattern)]
        for form in candidates:
            bound = Bound(sparse_session(layer, weights[:few], form, self.threads), inputs, layer)
            check(layer, form, bound.first(), expected)
            if len(candidates) > 1:
                times[form] = float(np.min(self.rounds_of({"": bound}, TUNING_ROUNDS)[""]))
        return min(times, key=lambda form: times[form]) if times else candidates[0]

    def with_half(self, form: Form) -> Form:
        """Return the form with the values that are asked for."""
        return Form(form.kind, form.block_rows, form.chunk, form.tile, self.half)

    def rounds_of(self, bound: Mapping[str, Bound], rounds: int) -> dict[str, FloatArray]:
        """Return seconds of one run of every session in each round."""
        repeats = {name: max(1, int(ROUND_SECONDS / self.once(b))) for name, b in bound.items()}
        found: dict[str, list[float]] = {name: [] for name in bound}
        for _ in range(rounds):
            for name, b in bound.items():
                start = self.clock()
                for _ in range(repeats[name]):
                    b.run()
                found[name].append((self.clock() - start) / repeats[name])
        return {name: np.array(times) for name, times in found.items()}

    def once(self, bound: Bound) -> float:
        """Return the seconds of one run, after a warm-up."""
        bound.run()
        start = time.perf_counter()
        bound.run()
        return time.perf_counter() - start


class Bound:
    """A session with inputs and outputs in place."""

    def __init__(self, session: Any, inputs: Sequence[Any], layer: Layer) -> None:
        value: Any = import_module("onnxruntime").OrtValue
        self.session = session
        self.binding = session.io_binding()
        self.outputs = []
        for i, _ in enumerate(session.get_inputs()):
            self.binding.bind_ortvalue_input(f"x{i}", value.ortvalue_from_numpy(inputs[i]))
            y = value.ortvalue_from_numpy(np.zeros(layer.y_shape, np.float32))
            self.binding.bind_ortvalue_output(f"y{i}", y)
            self.outputs.append(y)

    def run(self) -> None:
        """Run all copies of the layer."""
        self.session.run_with_iobinding(self.binding)

    def first(self) -> Any:
        """Return the first copy's output."""
        self.run()
        return self.outputs[0].numpy()


def footprint(layer: Layer) -> int:
    """Return the floats of weight, input and output."""
    floats = layer.rows * layer.columns + np.prod(layer.x_shape) + np.prod(layer.y_shape)
    return int(floats)


def check(layer: Layer, form: Form, found: Any, expected: Any) -> None:
    """Refuse an output that rounding does not explain."""
    distance = float(np.abs(found - expected).max() / max(1e-6, float(np.abs(expected).max())))
    if not distance <= (2e-3 if form.half else 1e-5):
        raise WrongLayerError(layer, form, distance)
