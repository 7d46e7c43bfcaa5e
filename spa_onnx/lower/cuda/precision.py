"""Make a float16 model of a float32 one, with ONNX Runtime's own converter.

Inputs and outputs stay float32, so whoever runs the model need not change. What the converter
knows to need float32 stays so, between casts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.shape_inference
from onnx import TensorProto, numpy_helper

from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.load.store import is_external
from spa_onnx.lower.cuda.errors import ConversionError
from spa_onnx.normalise.order import sort_nodes

LARGEST = float(np.finfo(np.float16).max)

ONE_FILE = 1 << 30
"""Bytes of weights up to which the model is written as one message."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A float16 model.

    Attributes:
        loaded: the model.
        clipped: finite weights that float16 cannot hold, and that became its largest number.
    """

    loaded: LoadedModel
    clipped: int


def to_float16(source: LoadedModel, folder: Path) -> Converted:
    """Write a float16 model of a float32 one into a folder.

    Raises:
        ConversionError: the converter does not know what to do with it.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16  # slow to import

    model, clipped = _with_weights(source)
    convert: Any = convert_float_to_float16
    try:
        made = convert(model, keep_io_types=True, disable_shape_infer=True)
    except Exception as failure:  # it raises whatever Python does, assertions among it
        text = str(failure) or type(failure).__name__
        raise ConversionError(source.label, text) from failure
    sort_nodes(made)
    path = folder / "model.onnx"
    apart = sum(len(t.raw_data) for t in all_tensors(made)) > ONE_FILE
    onnx.save_model(made, str(path), save_as_external_data=apart, location="model.onnx.data")
    return Converted(load(path), clipped)


def _with_weights(source: LoadedModel) -> tuple[onnx.ModelProto, int]:
    """Return a model with all its weights and types inside, and how many float16 cannot hold."""
    model = onnx.ModelProto()
    model.CopyFrom(source.skeleton)
    with suppress(onnx.shape_inference.InferenceError, ValueError):  # declared types remain
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    clipped = 0
    for tensor in all_tensors(model):
        if is_external(tensor):
            tensor.raw_data = b"".join(map(bytes, source.weights.place(tensor).chunks()))
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
        if tensor.data_type == TensorProto.FLOAT:
            values = np.abs(numpy_helper.to_array(tensor))
            clipped += int(np.count_nonzero((values > LARGEST) & np.isfinite(values)))
    return model, clipped
