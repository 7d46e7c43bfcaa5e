"""Whether others take a file: ONNX's checker, and ONNX Runtime at its usual settings.

This knows nothing of the proof, which runs without graph optimisations. A pruned file is held
against its original: what the original does not pass either says nothing about pruning.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime as ort

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.bench.result import Check
from spa_onnx.errors import GraphError
from spa_onnx.execute.feeds import make_feeds, symbol_choices
from spa_onnx.execute.session import FATAL, Feeds, RefusedError

TEXT_LENGTH = 400
"""Characters of a complaint that are kept; those of ONNX Runtime can be pages."""


def shortened(text: str) -> str:
    """Return a complaint on one line, cut to a length that a table can hold."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= TEXT_LENGTH else f"{line[:TEXT_LENGTH]}..."


def check_original(path: Path, state: Propagation | None) -> tuple[Check, Feeds | None]:
    """Open and run the original; return inputs on which it runs.

    Args:
        path: the model.
        state: its solved graph, from which inputs are made up; None where there is none.
    """
    try:
        session = _open(path)
    except RefusedError as refusal:
        return Check(loads=False, problem=shortened(str(refusal))), None
    if state is None:
        return Check(loads=True), None
    problem = "no sizes to try"
    for fill in (1, 0):
        for symbols in symbol_choices(state, {}):
            try:
                feeds = make_feeds(state, symbols, 0, fill)
                _run(session, feeds)
            except GraphError as refusal:
                return Check(loads=True, problem=shortened(str(refusal))), None
            except RefusedError as refusal:
                problem = shortened(str(refusal))
            else:
                return Check(loads=True, runs=True), feeds
    return Check(loads=True, runs=False, problem=problem), None


def check_result(path: Path, original: Path, feeds: Feeds | None) -> Check:
    """Ask the checker and ONNX Runtime about a pruned file; run it where the original runs."""
    complaint = _worse_than(original, path)
    if complaint:
        return Check(loads=False, problem=f"checker: {complaint}")
    try:
        session = _open(path)
    except RefusedError as refusal:
        return Check(loads=False, problem=shortened(str(refusal)))
    if feeds is None:
        return Check(loads=True)
    try:
        _run(session, feeds)
    except RefusedError as refusal:
        return Check(loads=True, runs=False, problem=shortened(str(refusal)))
    return Check(loads=True, runs=True)


def _worse_than(original: Path, path: Path) -> str:
    """Return the checker's complaint about a file whose original it accepts."""
    for full in (True, False):
        complaint = _complaint(path, full)
        if not complaint:
            return ""
        if not _complaint(original, full):
            return complaint
    return ""


def _complaint(path: Path, full: bool) -> str:
    try:
        onnx.checker.check_model(str(path), full_check=full)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        RuntimeError,
        ValueError,
    ) as failure:
        return shortened(str(failure)) or type(failure).__name__
    return ""


def _open(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = FATAL
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise RefusedError(str(failure)) from failure


def _run(session: ort.InferenceSession, feeds: Feeds) -> None:
    options = ort.RunOptions()
    options.log_severity_level = FATAL
    try:
        session.run(None, dict(feeds), options)
    except Exception as failure:  # as above
        raise RefusedError(str(failure)) from failure
