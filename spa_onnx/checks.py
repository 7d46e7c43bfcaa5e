"""Checks of a request against the model it is about; nothing is touched before they pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from spa_onnx.algebra.size import Polynomial
from spa_onnx.errors import InputShapeError, SamePathError, UsageError
from spa_onnx.graph.shapes import declared_shape
from spa_onnx.load.model import LoadedModel
from spa_onnx.normalise.graph import Graph


def check_output(model: str | Path | onnx.ModelProto, output: str | Path | None) -> None:
    """Refuse an output that is the input.

    Raises:
        SamePathError: they are one file.
    """
    if output is None or isinstance(model, onnx.ModelProto):
        return
    target, source = Path(output), Path(model)
    if target.resolve() == source.resolve() or (
        target.exists() and source.exists() and target.samefile(source)
    ):
        raise SamePathError(str(output))


def check_weights(loaded: LoadedModel, output: str | Path | None) -> None:
    """Refuse an output whose file, or file of weights, holds weights of the original.

    Raises:
        UsageError: names that file.
    """
    if output is None or loaded.path is None:
        return
    written = {Path(output).resolve(), Path(f"{output}.data").resolve()}
    for location in loaded.weights.sources:
        if (loaded.path.parent / location).resolve() in written:
            text = f"output {str(output)!r} would overwrite the input model's weights {location!r}"
            raise UsageError(f"{text}; give -o another path")


def check_input_shapes(graph: Graph, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse shapes that contradict the model.

    Raises:
        InputShapeError: names the input and what it wants.
    """
    inputs = {entry.name: entry for entry in graph.inputs}
    for name, shape in shapes.items():
        given = ",".join(map(str, shape))
        if name not in inputs:
            raise InputShapeError(name, given, f"the model's inputs are {', '.join(inputs)}")
        declared = declared_shape(inputs[name])
        if inputs[name].type.tensor_type.HasField("shape") and len(declared) != len(shape):
            raise InputShapeError(
                name, given, f"the input has {len(declared)} axes: {list(declared)}"
            )
        for n, d in zip(shape, declared, strict=False):
            if not isinstance(d, Polynomial) and d != n:
                raise InputShapeError(name, given, f"the model fixes the shape {list(declared)}")
