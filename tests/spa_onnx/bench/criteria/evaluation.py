"""Functions that score models in tests, as a user would write them."""

from __future__ import annotations

import onnx
import onnxruntime as ort


def parameters(path: str) -> float:
    """Return minus the number of weights: fewer are better here."""
    return -float(sum(len(t.raw_data) for t in onnx.load(path).graph.initializer))


def runs(path: str) -> float:
    """Return one if ONNX Runtime opens the model."""
    return float(bool(ort.InferenceSession(path).get_outputs()))


def breaks(path: str) -> float:
    """Fail, as code of users may."""
    raise ZeroDivisionError(path)


def nothing(path: str) -> float:
    """Return no number."""
    return float("nan")
