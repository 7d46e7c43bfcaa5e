"""Inputs of models that are timed against each other: the same numbers wherever they ask the same.

Only what a session says of its inputs counts, so models of any operators will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from spa_onnx.errors import InputShapeError, OpenShapeError, TimedModelError
from spa_onnx.execute.feeds import PASS_THROUGH

Feeds = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

TYPES: Mapping[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
} | {
    f"tensor({sign}int{bits})": np.dtype(f"{sign}int{bits}").type
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""Element types that can be made up."""


def feeds_for(
    path: str, session: ort.InferenceSession, model: onnx.ModelProto, given: Shapes
) -> Feeds:
    """Return an array for every input.

    Floats are normal, booleans true. Integers that are looked up in a table cover its rows; all
    others are one, which masks, lengths and flags accept.

    Args:
        path: of the model, for messages.
        session: of the model.
        model: its graph; weights may be absent.
        given: shapes by input name, for symbolic ones. The batch, a symbol on the first axis, is 1
            unless they say otherwise.

    Raises:
        OpenShapeError: another symbolic axis has no number.
        InputShapeError: a given shape does not fit.
        TimedModelError: an input is of a type that cannot be made up.
    """
    symbols = _symbols(session.get_inputs(), given)
    rows = _table_rows(model)
    made = {}
    for entry in session.get_inputs():
        if entry.type not in TYPES:
            problem = f"input {entry.name!r} is a {entry.type}, which cannot be made up."
            raise TimedModelError(path, problem)
        shape = given.get(entry.name) or tuple(
            n if isinstance(n, int) else symbols.get(n, 1 if k == 0 else 0)
            for k, n in enumerate(entry.shape)
        )
        if 0 in shape:
            raise OpenShapeError(path, entry.name, entry.shape)
        made[entry.name] = _array(entry.name, shape, TYPES[entry.type], rows.get(entry.name, 0))
    return made


def check_names(given: Shapes, sessions: Sequence[ort.InferenceSession]) -> None:
    """Refuse shapes for inputs that no model has.

    Raises:
        InputShapeError: names the inputs that there are.
    """
    known = dict.fromkeys(entry.name for session in sessions for entry in session.get_inputs())
    for name, shape in given.items():
        if name not in known:
            text = ",".join(map(str, shape))
            raise InputShapeError(name, text, f"the models' inputs are {', '.join(known)}")


def _symbols(inputs: Sequence[Any], given: Shapes) -> dict[str | None, int]:
    """Return the number of every symbol of inputs whose shape is given; axes may be nameless."""
    symbols: dict[str | None, int] = {}
    for entry in inputs:
        shape = given.get(entry.name)
        if shape is None:
            continue
        text = ",".join(map(str, shape))
        if len(shape) != len(entry.shape):
            problem = f"the input has {len(entry.shape)} axes: {entry.shape}"
            raise InputShapeError(entry.name, text, problem)
        for n, length in zip(entry.shape, shape, strict=True):
            expected = n if isinstance(n, int) else symbols.setdefault(n, length)
            if n is not None and expected != length:
                problem = (
                    f"the model wants {entry.shape}"
                    if isinstance(n, int)
                    else (f"{n!r} is {expected} in another input")
                )
                raise InputShapeError(entry.name, text, problem)
    return symbols


def _array(name: str, shape: tuple[int, ...], kind: type[np.generic], rows: int) -> NDArray[Any]:
    rng = np.random.default_rng([crc32(name.encode()), *shape])
    if np.issubdtype(kind, np.floating):
        return rng.standard_normal(shape).astype(kind)
    if rows and kind is not np.bool_:
        most = min(rows, int(np.iinfo(kind).max) + 1)  # type: ignore[type-var]
        return rng.integers(0, most, shape).astype(kind)
    return np.ones(shape, kind)


def _table_rows(model: onnx.ModelProto) -> dict[str, int]:
    """Return how many rows the smallest stored table has that an input indexes."""
    origin = {entry.name: entry.name for entry in model.graph.input}
    tables = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    rows: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in PASS_THROUGH and node.input and node.input[0] in origin:
            origin[node.output[0]] = origin[node.input[0]]
        if node.op_type != "Gather" or node.input[1] not in origin:
            continue
        axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
        shape = tables.get(node.input[0], ())
        if -len(shape) <= axis < len(shape):
            name = origin[node.input[1]]
            rows[name] = min(rows.get(name, shape[axis]), shape[axis])
    return rows
