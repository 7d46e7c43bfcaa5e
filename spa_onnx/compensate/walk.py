"""Runs a network segment by segment, all batches through one before the next.

Tensors of numbers wait on a shelf; what numpy does not hold (sequences, optional values, strings,
bfloat16) waits in ONNX Runtime's own form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from spa_onnx.errors import InternalError
from spa_onnx.execute.pieces import Piece, piece_model
from spa_onnx.execute.piecewise import run_values, type_of, value_of
from spa_onnx.execute.runtime import seed_random
from spa_onnx.execute.session import create_session
from spa_onnx.execute.shelf import Shelf
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.variants import Handle
from spa_onnx.load.store import WeightStore

Array = NDArray[Any]


@dataclass(slots=True)
class Walk:
    """Runs segments of a model whose weights may change before their segment runs.

    Attributes:
        model: the skeleton.
        weights: where its weights lie.
        batches: the inputs.
        shelf: holds what later segments read.
        matched: turns a segment into the model that is run.
    """

    model: onnx.ModelProto
    weights: WeightStore
    batches: Batches
    shelf: Shelf
    matched: Callable[[onnx.ModelProto], onnx.ModelProto]
    _types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    _others: dict[tuple[str, int], ort.OrtValue] = field(default_factory=dict)
    _held: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._types = {v.name: v.type for v in self.model.graph.input}

    def value(self, name: str, number: int, feeds: Mapping[str, Any]) -> Array:
        """Return a tensor of one batch."""
        if name in feeds:
            return np.asarray(feeds[name])
        if (name, number) in self._others:
            raise InternalError(f"tensor {name!r} has no form that numpy knows")
        return self.shelf.get((name, number))

    def run(self, piece: Piece, later: set[str]) -> None:
        """Run one segment on all batches; keep what is read later, forget the rest."""
        names = [n for n in piece.outputs if n in later]
        if names:
            self._run(piece, names)
        for name in [n for n in self._held if n not in later]:
            for number in self._held.pop(name):
                if self._others.pop((name, number), None) is None:
                    self.shelf.drop((name, number))

    def _run(self, piece: Piece, names: list[str]) -> None:
        made = self.matched(piece_model(self.model, piece, self._types))
        seed_random(made.graph)
        session = create_session(made, self.weights)
        kinds = {entry.name: entry.type for entry in session.get_outputs()}
        for number, feeds in enumerate(self.batches):
            given = {n: self._given(n, number, feeds) for n in piece.inputs}
            for name, value in zip(names, run_values(session, names, given), strict=True):
                self._types[name] = type_of(kinds[name], value)
                self._held.setdefault(name, []).append(number)
                array = _array(value, kinds[name])
                if array is None:
                    self._others[name, number] = value
                else:
                    self.shelf.put((name, number), array)

    def _given(self, name: str, number: int, feeds: Mapping[str, Any]) -> ort.OrtValue:
        if (name, number) in self._others:
            return self._others[name, number]
        return value_of(feeds[name] if name in feeds else self.shelf.get((name, number)))


def in_turn(
    layers: Mapping[str, Layer],
    handles: Mapping[str, Handle],
    pieces: Sequence[Piece],
    walk: Walk,
    observer: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, Layer]]:
    """Yield layers when their inputs are there; what they make is run afterwards.

    ``pieces`` begin with the layers' products; ``observer`` is told how many are done, of how many.
    """
    done = 0
    for at, piece in enumerate(pieces):
        starts = [n for k in piece.nodes for n in walk.model.graph.node[k].output]
        for name, layer in layers.items():
            if handles[name].product in starts:
                yield name, layer
                done += 1
                if observer is not None:
                    observer(done, len(layers))
        walk.run(piece, {n for p in pieces[at + 1 :] for n in p.inputs})


def _array(value: ort.OrtValue, kind: str) -> Array | None:
    """Return a tensor of numbers as an array of our own; None for everything else."""
    if not value.has_value() or not value.is_tensor() or kind == "tensor(string)":
        return None
    try:
        return np.array(value.numpy())
    except RuntimeError:  # numpy lacks the type
        return None
