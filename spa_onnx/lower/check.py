"""Compare a lowered model with the one that it was made of, on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from spa_onnx.errors import LoweredDiffersError, LoweredRefusedError, OriginalRefusedError
from spa_onnx.execute.session import FATAL, numbers_of, run_options
from spa_onnx.prove.distance import distance, magnitude
from spa_onnx.runtime.session import add_operators

TOLERANCE = 1e-4
"""Of the scale of an output, as in the proof of pruned models."""

ROUNDING, MOST = 8, 0.25
"""What the original's own optimisations change by rounding is accepted so many times, up to a share
of the scale, as in the proof of pruned models."""

Tensors = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a lowered model is from its original.

    Attributes:
        difference: the largest over all outputs, in shares of their scales.
        tolerance: of that output.
    """

    difference: float
    tolerance: float


def open_model(
    model: Path,
    threads: int,
    refused: Callable[[str], Exception],
    library: Path | None = None,
    level: ort.GraphOptimizationLevel | None = None,
) -> ort.InferenceSession:
    """Open a model as a user would, with the library of kernels if it needs it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if level is not None:
        options.graph_optimization_level = level
    try:
        if library is not None:
            add_operators(options, library)
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise refused(str(failure)) from failure


def run_model(
    session: ort.InferenceSession, feeds: Mapping[str, Any], refused: Callable[[str], Exception]
) -> Tensors:
    """Return the outputs of a model."""
    try:
        return list(map(numbers_of, session.run(None, dict(feeds), run_options())))
    except Exception as failure:  # as above
        raise refused(str(failure)) from failure


def check_lowered(
    original: Path,
    lowered: Path,
    feeds: Mapping[str, Any],
    threads: int,
    library: Path | None,
) -> Agreement:
    """Return how far a model that was lowered, or undone, is from the one that it was made of.

    Raises:
        LoweredDiffersError: further than rounding explains.
        LoweredRefusedError: ONNX Runtime does not run it.
        OriginalRefusedError: ONNX Runtime does not run the original.
    """
    refused = partial(OriginalRefusedError, str(original))

    def outputs(model: Path, level: Any = None) -> Tensors:
        session = open_model(model, threads, refused, library, level)
        return run_model(session, feeds, refused)

    written = outputs(original, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    optimised = outputs(original)
    session = open_model(lowered, threads, LoweredRefusedError, library)
    found = run_model(session, feeds, LoweredRefusedError)
    names = [entry.name for entry in session.get_outputs()]
    worst = Agreement(0.0, TOLERANCE)
    for name, a, b, c in zip(names, found, written, optimised, strict=True):
        scale = magnitude(b)
        rounding = distance(c, b, scale)
        tolerance = max(TOLERANCE, min(MOST, ROUNDING * rounding))
        difference = distance(a, b, scale)
        if not difference <= tolerance:
            raise LoweredDiffersError(name, difference, tolerance)
        if difference / tolerance >= worst.difference / worst.tolerance:
            worst = Agreement(difference, tolerance)
    return worst
