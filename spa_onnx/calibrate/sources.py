"""Calibration inputs in the forms that users have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.calibrate.batches import ArrayBatches, Batches
from spa_onnx.errors import CalibrationError

BATCH = 64
"""Items in a batch where the model leaves it open."""


def read_calibration(
    source: Any, state: Propagation, input_shapes: Mapping[str, tuple[int, ...]]
) -> Batches:
    """Return calibration inputs as batches.

    Args:
        source: arrays by input name, one array for a model with one input, or batches.
        state: the solved graph, for names and shapes of its inputs.
        input_shapes: numbers that the user gave for symbolic inputs.

    Raises:
        CalibrationError: they do not fit the model's inputs.
    """
    names = [entry.name for entry in state.graph.inputs]
    if isinstance(source, np.ndarray) and len(names) == 1:
        source = {names[0]: source}
    if not isinstance(source, Mapping):
        if not hasattr(source, "first"):
            raise CalibrationError(f"{type(source).__name__} is no form of calibration inputs")
        batches: Batches = source
        return batches
    arrays = {str(name): np.asarray(array) for name, array in source.items()}
    if set(arrays) != set(names):
        given, wanted = ", ".join(sorted(arrays)), ", ".join(names)
        raise CalibrationError(f"arrays for {given or 'nothing'}; the model's inputs are {wanted}")
    return ArrayBatches(arrays, BATCH)
