"""Time a lowered model against the one that it was made of, as users run them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import onnxruntime as ort

from spa_onnx.errors import LoweredRefusedError, OriginalRefusedError
from spa_onnx.latency.measure import Comparison, Run, Stopwatch
from spa_onnx.lower.check import open_model, run_model
from spa_onnx.lower.report import ModelTimes

Level = Literal["all", "extended"]
"""Which of the runtime's optimisations are made."""

LEVELS: Mapping[Level, Any] = {
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}

GOAL = 1.0
"""A ratio far from this need not be known as precisely."""


@dataclass(frozen=True, slots=True)
class Contest:
    """Models that are timed on the same inputs.

    Attributes:
        original: path of the dense model.
        feeds: inputs.
        threads: that a node may use.
        library: of kernels.
        watch: decides how often models run.
    """

    original: Path
    feeds: Mapping[str, Any]
    threads: int
    library: Path
    watch: Stopwatch

    def best_level(self) -> Level:
        """Return the optimisations with which the original is faster.

        With all of them the runtime computes convolutions in its blocked layout, which does not
        suit every model; with the extended ones it computes them on plain planes.

        Raises:
            OriginalRefusedError: ONNX Runtime does not run it.
        """
        dense = partial(self._dense, "all"), partial(self._dense, "extended")
        found = in_turns(self.watch, *dense)
        return "extended" if found.ratio < 1 else "all"

    def against(self, lowered: Path, level: Level) -> Comparison:
        """Time a lowered model against the original.

        Raises:
            OriginalRefusedError: ONNX Runtime does not run the original.
            LoweredRefusedError: it does not run the lowered one.
        """

        def packed() -> Run:
            session = open_model(lowered, self.threads, LoweredRefusedError, self.library)
            return partial(run_model, session, self.feeds, LoweredRefusedError)

        return in_turns(self.watch, partial(self._dense, level), packed)

    def _dense(self, level: Level) -> Run:
        refused = partial(OriginalRefusedError, str(self.original))
        session = open_model(self.original, self.threads, refused, level=LEVELS[level])
        return partial(run_model, session, self.feeds, refused)


def in_turns(watch: Stopwatch, first: Callable[[], Run], second: Callable[[], Run]) -> Comparison:
    """Time two models against each other, each opened by a function."""

    @contextmanager
    def opened() -> Generator[tuple[Run, Run]]:
        yield first(), second()

    return watch.compare(opened, GOAL)


def times_of(comparison: Comparison, what: str) -> ModelTimes:
    """Return what a comparison says about a model in which some layers were lowered."""
    before, ratio = comparison.before, comparison.ratio
    return ModelTimes(before, ratio * before, ratio, comparison.error, what)
