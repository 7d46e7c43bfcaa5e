"""Run a model piece by piece, so that no more than one piece's weights are in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.execute.pieces import Piece, cut, piece_model
from spa_onnx.execute.session import (
    Feed,
    Feeds,
    NotLoadedError,
    RefusedError,
    create_session,
    numbers_of,
    run_options,
)
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.order import sort_nodes

OPSET, IR_VERSION = 18, 8
"""Versions of the models of one operator that convert values."""

ELEMENTS = {"float": TensorProto.FLOAT, "double": TensorProto.DOUBLE}
"""Element types that ONNX Runtime calls otherwise than ONNX."""


class PiecewiseSession:
    """A model in pieces; each is opened when its turn comes and closed before the next.

    The activations that one piece hands to another stay in ONNX Runtime's form, so every type of
    value can cross: strings, sequences, bfloat16. On the way half precision is rounded, where a
    whole session may keep float32 between two operators that it computes so.

    Args:
        model: a skeleton whose outputs are all that is wanted; it is changed.
        weights: where its weights lie.
        memory: bytes that the weights of one piece may take.
    """

    def __init__(self, model: onnx.ModelProto, weights: WeightStore, memory: int) -> None:
        sort_nodes(model)
        self._model, self._weights = model, weights
        self._parts = cut(model.graph, memory)
        self.pieces = len(self._parts)

    def run(self, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """Return the named outputs.

        Raises:
            RefusedError: ONNX Runtime fails.
        """
        types = {v.name: v.type for v in self._model.graph.input}
        values = {name: value_of(array) for name, array in feeds.items()}
        found = {name: numbers_of(feeds[name]) for name in outputs if name in feeds}
        for at, piece in enumerate(self._parts):
            found |= self._run_piece(piece, values, types, set(outputs))
            later = {n for p in self._parts[at + 1 :] for n in p.inputs}
            values = {name: value for name, value in values.items() if name in later}
        return [found[name] for name in outputs]

    def _run_piece(
        self,
        piece: Piece,
        values: dict[str, ort.OrtValue],
        types: dict[str, onnx.TypeProto],
        wanted: set[str],
    ) -> dict[str, NDArray[Any]]:
        """Run one piece, add what it makes to ``values`` and ``types``, and return the wanted."""
        made = piece_model(self._model, piece, types)
        session = create_session(made, self._weights, frugal=True)
        given = {name: values[name] for name in piece.inputs}
        results = run_values(session, piece.outputs, given)
        kinds = {entry.name: entry.type for entry in session.get_outputs()}
        for name, value in zip(piece.outputs, results, strict=True):
            values[name] = value
            types[name] = type_of(kinds[name], value)
        # while the session lives, for a weight that is an output may lie in its mapped file
        return {n: _numbers_of(values[n], types[n]) for n in piece.outputs if n in wanted}


def run_values(
    session: ort.InferenceSession, outputs: Sequence[str], given: Mapping[str, ort.OrtValue]
) -> Sequence[ort.OrtValue]:
    """Run a session on values in ONNX Runtime's form.

    Raises:
        RefusedError: ONNX Runtime fails.
    """
    try:
        found: Sequence[ort.OrtValue] = session.run_with_ort_values(
            list(outputs), dict(given), run_options()
        )
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise RefusedError(str(failure)) from failure
    return found


# -- values ---------------------------------------------------------------------------------------


def value_of(feed: Feed) -> ort.OrtValue:
    """Return an input in ONNX Runtime's form."""
    if isinstance(feed, np.ndarray) and feed.dtype.kind in "biuf" and feed.dtype.isbuiltin == 1:
        value: ort.OrtValue = ort.OrtValue.ortvalue_from_numpy(np.asarray(feed, order="C"))
        return value
    # of strings, narrow floats and sequences a session makes values, not the numpy interface
    parts = feed if isinstance(feed, list) else [feed]
    tensors = [numpy_helper.from_array(part, f"x{k}") for k, part in enumerate(parts)]
    op = "SequenceConstruct" if isinstance(feed, list) else "Identity"
    node = helper.make_node(op, [t.name for t in tensors], ["y"])
    graph = helper.make_graph([node], op, [], [onnx.ValueInfoProto(name="y")], tensors)
    return run_values(_small_session(graph), ["y"], {})[0]


def _numbers_of(value: ort.OrtValue, kind: onnx.TypeProto) -> NDArray[Any]:
    """Return a value as a session without pieces would."""
    if not value.has_value():
        return numbers_of(None)
    if value.is_tensor():
        try:
            return np.array(value.numpy())
        except RuntimeError as failure:  # numpy lacks the type
            raise RefusedError(str(failure)) from failure
    entry = onnx.ValueInfoProto(name="x", type=kind)
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "x", [entry], [onnx.ValueInfoProto(name="y")])
    return numbers_of(_small_session(graph).run(["y"], {"x": value})[0])


def _small_session(graph: onnx.GraphProto) -> ort.InferenceSession:
    versions = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)
    return create_session(model, WeightStore(None))


def type_of(kind: str, value: ort.OrtValue) -> onnx.TypeProto:
    """Return the type that ONNX Runtime calls ``kind``; of tensors with the rank, not lengths.

    Raises:
        NotLoadedError: it is none that can be handed on.
    """
    form, _, inner = kind.removesuffix(")").partition("(")
    match form:
        case "tensor":
            number = ELEMENTS.get(inner) or dict(TensorProto.DataType.items()).get(inner.upper())
            if number is not None:
                known = value.has_value() and value.is_tensor()
                shape = [None] * len(value.shape()) if known else None
                return helper.make_tensor_type_proto(number, shape)
        case "seq":
            return helper.make_sequence_type_proto(type_of(inner, value))
        case "optional":
            return helper.make_optional_type_proto(type_of(inner, value))
        case _:
            pass
    raise NotLoadedError(f"a value of type {kind} cannot be handed from one piece to the next")
