"""Time a sparse layer against the runtime's dense ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.bound import Bound, aligned
from spa_onnx.bench.kernels.forms import Form, forms
from spa_onnx.bench.kernels.models import dense_sessions, sparse_session
from spa_onnx.bench.kernels.roofline import second_level_cache
from spa_onnx.bench.kernels.shapes import Layer
from spa_onnx.bench.kernels.timing import Timing
from spa_onnx.bench.kernels.turns import clock_for, in_turns
from spa_onnx.bench.kernels.weights import masked
from spa_onnx.errors import SpaError
from spa_onnx.sparse.pattern import Pattern, parse_pattern

Float32Array = NDArray[np.float32]

TUNING_ROUNDS = 6
TUNING_SECONDS = 0.005
"""Of a candidate's turn. Noise only ever adds, so the least of some short turns decides."""

ROUND_SECONDS = 0.02
"""Of a turn that counts."""

FEWEST = 3
"""Copies of a layer, at least."""

CACHES = 2
"""Second-level caches that our copies fill at least; dense ones are larger anyway."""

LARGE = 2**22
"""Weights of a layer whose copies are not all drawn."""

HALF_ROUNDING = 2.0**-11
"""Of a number that is stored as float16, relative to it."""


class WrongLayerError(SpaError):
    """A sparse layer's output is not the dense one's."""

    def __init__(self, layer: Layer, form: Form, distance: float) -> None:
        super().__init__(
            f"layer {layer}, packed as {form}: the output differs from the dense one by "
            f"{distance:.3g} of its largest value. Please report it with `spa-onnx doctor --json`"
        )


@dataclass(frozen=True)
class Copies:
    """A layer several times over: weights of one pattern and inputs, all different."""

    layer: Layer
    pattern: Pattern
    weights: Sequence[Float32Array]
    inputs: Sequence[Float32Array]

    @staticmethod
    def drawn(layer: Layer, pattern: Pattern, sparsity: float, count: int) -> Copies:
        """Return random ones, the same every time.

        Copies of a large weight have its rows in another order, which takes less time to make.
        """
        random = np.random.default_rng(0)
        if layer.rows * layer.columns < LARGE or layer.rows % pattern.outputs:
            weights = [masked(layer, pattern, sparsity, random) for _ in range(count)]
        else:
            first = masked(layer, pattern, sparsity, random)
            weights = [np.roll(first, k * pattern.outputs, axis=0) for k in range(count)]
        inputs = [aligned(layer.x_shape) for _ in range(count)]
        for x in inputs:
            random.standard_normal(dtype=np.float32, out=x)
        return Copies(layer, pattern, weights, inputs)

    @cached_property
    def stored(self) -> int:
        """Return the weights of a copy that are not zero."""
        return int(np.count_nonzero(self.weights[0]))

    def packed(self, form: Form, count: int | None = None) -> list[bytes]:
        """Return the packed weights of the first copies, or of all."""
        return [form.pack(weight) for weight in self.weights[:count]]

    def ours(self, form: Form, packed: Sequence[bytes], threads: int) -> Bound:
        """Return copies in a session with our operators."""
        return Bound(sparse_session(self.layer, packed, form, threads), self.inputs, self.layer)


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

    def time(self, layer: Layer, name: str, sparsity: float, megabytes: int) -> Timing:
        """Return how long a layer takes, with the best of the forms that suit its pattern.

        Args:
            layer: to time.
            name: of the pattern.
            sparsity: share of zeros, where the pattern does not say it.
            megabytes: that one run of all dense copies touches, at least.

        Raises:
            WrongLayerError: what a form computes is not what the runtime computes.
        """
        pattern = parse_pattern(name)
        zeros = sparsity if pattern.sparsity is None else pattern.sparsity
        cold = math.ceil(CACHES * second_level_cache() / (4 * floats_of(layer, 1 - zeros)))
        count = max(FEWEST, round(megabytes * 1e6 / (4 * floats_of(layer, 1))), cold)
        copies = Copies.drawn(layer, pattern, zeros, count)
        dense = {
            way: Bound(session, copies.inputs, layer)
            for way, session in dense_sessions(layer, copies.weights, self.threads)
        }
        expected = next(iter(dense.values())).results()
        tried = self.try_forms(copies, expected, min(count, max(FEWEST, cold, count // 4)))
        form = min(tried, key=lambda form: tried[form])
        return self.race(copies, dense, form, expected, tried, zeros)

    def try_forms(
        self, copies: Copies, expected: Sequence[Float32Array], few: int
    ) -> dict[Form, float]:
        """Return the least seconds of a copy in a few rounds for each form, all checked."""
        candidates = forms(copies.layer, copies.pattern, half=self.half)
        bound = {f: copies.ours(f, copies.packed(f, few), self.threads) for f in candidates}
        for form, b in bound.items():
            check(copies.layer, form, b.results(), expected[:few])
        rounds = TUNING_ROUNDS if len(candidates) > 1 else 1
        runs = {form: b.run for form, b in bound.items()}
        seconds = in_turns(runs, rounds, TUNING_SECONDS, clock_for(self.threads))
        return {form: float(np.min(taken)) / few for form, taken in seconds.items()}

    def race(
        self, copies: Copies, dense: Mapping[str, Bound], form: Form,
        expected: Sequence[Float32Array], tried: Mapping[Form, float], sparsity: float,
    ) -> Timing:  # fmt: skip
        """Return the times of one form and of the dense ways, run in turns."""
        layer, count = copies.layer, len(copies.weights)
        packed = copies.packed(form)
        ours = copies.ours(form, packed, self.threads)
        check(layer, form, ours.results(), expected)
        runs = {"sparse": ours.run} | {way: bound.run for way, bound in dense.items()}
        seconds = in_turns(runs, self.rounds, ROUND_SECONDS, clock_for(self.threads))
        check(layer, form, ours.outputs, expected)
        sparse = seconds.pop("sparse")
        ways = {way: float(np.median(taken)) / count for way, taken in seconds.items()}
        way = min(ways, key=lambda way: ways[way])
        return Timing(
            layer, str(copies.pattern), sparsity, form, float(np.median(sparse)) / count, ways, way,
            tuple(map(float, seconds[way] / sparse)), copies.stored,
            len(packed[0]), count, tried,
        )  # fmt: skip


def floats_of(layer: Layer, density: float) -> int:
    """Return the floats of a weight of so many values, input and output."""
    weight = math.ceil(density * layer.rows * layer.columns)
    return weight + math.prod(layer.x_shape) + math.prod(layer.y_shape)


def check(
    layer: Layer, form: Form, found: Sequence[Float32Array], expected: Sequence[Float32Array]
) -> None:
    """Refuse outputs that rounding does not explain.

    Sums of n products in another order differ by about sqrt(n) roundings; the factor leaves room
    for the largest of many outputs.
    """
    rounding = float(np.finfo(np.float32).eps) * math.sqrt(layer.columns)
    bound = 4 * (rounding + (HALF_ROUNDING if form.half else 0.0))
    for ours, dense in zip(found, expected, strict=True):
        scale = float(np.max(np.abs(dense), initial=0.0)) or 1.0
        distance = float(np.max(np.abs(ours - dense), initial=0.0)) / scale
        if not distance <= bound:  # NaN is no small distance
            raise WrongLayerError(layer, form, distance)
