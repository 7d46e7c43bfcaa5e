"""What a model wants to be fed: names, types, lengths, and which axis counts the items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper

from spa_onnx.algebra.expression import sizes_of
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.errors import CalibrationInputError
from spa_onnx.execute.feeds import table_rows
from spa_onnx.graph.shapes import is_container, tensor_type
from spa_onnx.inputs.batches import Feeds

MOST_ITEMS = 64
"""Items in a batch where the model leaves it open: more do not run faster on a CPU."""

BATCH_BYTES, ROW_BYTES = 1 << 22, 1 << 11
"""Bytes of a batch's inputs, for the values inside the network take many times as many; the number
of a table's row counts as a row."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a model.

    Attributes:
        name: its name.
        dtype: type of its elements.
        shape: a number for every fixed axis, a symbol's name for every open one.
        items: the axis that counts the items of a batch; None if every batch gets the same.
        rows: rows of the table that its integers choose from; 0 if they choose from none.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]
    items: int | None
    rows: int = 0

    @property
    def text(self) -> str:
        """Return the declared type and shape, for messages."""
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True, slots=True)
class Signature:
    """All inputs of a model.

    Attributes:
        inputs: by name, in the model's order.
        fixed: items that a batch must have; None if the model leaves that open.
    """

    inputs: Mapping[str, InputSpec]
    fixed: int | None

    def __iter__(self) -> Iterator[InputSpec]:
        """Yield the inputs."""
        return iter(self.inputs.values())

    def names(self) -> str:
        """Return the inputs as a text for messages."""
        return ", ".join(f"{spec.name!r} {spec.text}" for spec in self)

    def batch_size(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Return how many items of arrays of these shapes make a batch."""
        if self.fixed is not None:
            return self.fixed
        item = 0
        for spec in self:
            if spec.items is not None and spec.name in shapes:
                lengths = [n for k, n in enumerate(shapes[spec.name]) if k != spec.items]
                item += prod(lengths) * (ROW_BYTES if spec.rows else spec.dtype.itemsize)
        return max(1, min(MOST_ITEMS, BATCH_BYTES // max(1, item)))

    def count(self, feeds: Feeds) -> int:
        """Return the number of items in a batch."""
        counts = (feeds[s.name].shape[s.items] for s in self if s.items is not None)
        return next(counts, 1)

    def ordered(self, feeds: Feeds) -> Feeds:
        """Return a batch with the inputs in front whose first axis counts the items."""
        return {s.name: feeds[s.name] for s in sorted(self, key=lambda s: s.items != 0)}


def signature_of(state: Propagation) -> Signature:
    """Return what a solved graph wants to be fed.

    The axis of items is the symbol with ``batch`` in its name, else the first axis that is a
    symbol, else the first axis of the first input that has one.

    Raises:
        CalibrationInputError: an input is no tensor of numbers.
    """
    rows = table_rows(state)
    shapes = {entry.name: _shape(state, entry) for entry in state.graph.inputs}
    unit = _unit(list(shapes.values()))
    inputs = {}
    for entry in state.graph.inputs:
        shape = shapes[entry.name]
        if isinstance(unit, str):
            axis = shape.index(unit) if unit in shape else None
        else:
            axis = 0 if shape[:1] == (unit,) else None
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor_type(entry.type).elem_type))
        inputs[entry.name] = InputSpec(entry.name, dtype, shape, axis, rows.get(entry.name, 0))
    return Signature(inputs, unit if isinstance(unit, int) else None)


def _shape(state: Propagation, entry: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    axes = state.axes.get(entry.name)
    element = tensor_type(entry.type).elem_type
    if axes is None or is_container(entry.type) or element in (0, onnx.TensorProto.STRING):
        problem = "is no tensor of numbers with a known rank"
        raise CalibrationInputError(entry.name, problem, "Passes that run the model cannot be used")
    return tuple(n if isinstance(n, int) else str(n) for n in sizes_of(axes))


def _unit(shapes: list[tuple[int | str, ...]]) -> int | str | None:
    """Return the symbol that counts items, or the number of items that every batch has."""
    symbols = [n for shape in shapes for n in shape if isinstance(n, str)]
    firsts = [shape[0] for shape in shapes if shape]
    named = [n for n in symbols if "batch" in n.lower()]
    return next(iter([*named, *(n for n in firsts if isinstance(n, str)), *firsts]), None)
