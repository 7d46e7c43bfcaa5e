"""Time a lowered model against the one that it was made of, as users run them."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from spa_onnx.errors import LoweredRefusedError, RuntimeRefusedError
from spa_onnx.latency.measure import Comparison, Run, Stopwatch
from spa_onnx.lower.check import open_model, run_model
from spa_onnx.lower.report import ModelTimes

GOAL = 1.0
"""A ratio far from this need not be known as precisely."""


def compare_models(
    original: Path,
    lowered: Path,
    feeds: Mapping[str, Any],
    threads: int,
    library: Path,
    watch: Stopwatch,
) -> Comparison:
    """Time two models in turns.

    Raises:
        RuntimeRefusedError: ONNX Runtime does not run the original.
        LoweredRefusedError: it does not run the lowered one.
    """
    refused = partial(RuntimeRefusedError, str(original), "run")

    @contextmanager
    def opened() -> Generator[tuple[Run, Run]]:
        dense = open_model(original, threads, refused)
        packed = open_model(lowered, threads, LoweredRefusedError, library)
        yield (
            partial(run_model, dense, feeds, refused),
            partial(run_model, packed, feeds, LoweredRefusedError),
        )

    return watch.compare(opened, GOAL)


def times_of(comparison: Comparison, what: str) -> ModelTimes:
    """Return what a comparison says about a model in which some layers were lowered."""
    before, ratio = comparison.before, comparison.ratio
    return ModelTimes(before, ratio * before, ratio, comparison.error, what)
