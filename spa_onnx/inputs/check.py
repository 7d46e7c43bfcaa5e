"""Batches held against what a model wants, cast where that loses nothing, refused otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from spa_onnx.errors import CalibrationError, CalibrationInputError
from spa_onnx.inputs.batches import Feed, Feeds
from spa_onnx.inputs.signature import InputSpec, Signature

FEW, SENSIBLE = 8, 128
"""Items below which statistics mean little, and items that are enough for most models."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Say whether a type is one of floats, those beyond NumPy's own included."""
    return dtype.kind == "f" or "float" in dtype.name


@dataclass(slots=True)
class Checker:
    """Checks batch after batch.

    Attributes:
        signature: what the model wants.
        exact: batches are used as they are, so types must fit without a cast.
        notes: what a user should know, each thing once.
        items: number of items seen.
    """

    signature: Signature
    exact: bool = False
    notes: dict[str, None] = field(default_factory=dict)
    items: int = 0
    _first: dict[str, Any] = field(default_factory=dict)
    _varies: bool = False
    _seen: set[bytes] = field(default_factory=set)
    _copies: int = 0

    def names(self, given: Mapping[str, Any]) -> None:
        """Refuse inputs that the model has not, and the lack of those that it has.

        Raises:
            CalibrationError: names them and those that there are.
        """
        unknown = [repr(n) for n in given if n not in self.signature.inputs]
        missing = [repr(n) for n in self.signature.inputs if n not in given]
        if unknown or missing:
            parts = [
                f"{word} {', '.join(names)}"
                for word, names in (("unknown", unknown), ("missing", missing))
                if names
            ]
            raise CalibrationError(
                f"calibration inputs: {'; '.join(parts)}. The model's inputs are "
                f"{self.signature.names()}"
            )

    def batch(self, feeds: Feeds) -> Feeds:
        """Return a batch in the model's types.

        Raises:
            CalibrationError: it does not fit.
        """
        self.names(feeds)
        fitting = {spec.name: self._typed(spec, feeds[spec.name]) for spec in self.signature}
        self.shapes({name: array.shape for name, array in fitting.items()})
        for spec in self.signature:
            self._values(spec, fitting[spec.name])
        self._copies += sum(self._is_copy(fitting, k) for k in range(self._length(fitting)))
        self.items += self.signature.count(fitting)
        return self.signature.ordered(fitting)

    def shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse ranks and lengths that do not fit; the number of items is left open.

        Raises:
            CalibrationInputError: names input and axis.
        """
        known: dict[str, tuple[int, str]] = {}
        for spec in self.signature:
            shape = shapes[spec.name]
            if len(shape) != len(spec.shape):
                problem = f"has shape {list(shape)}, the model wants {spec.text}"
                remedy = f"Give arrays with {len(spec.shape)} axes"
                raise CalibrationInputError(spec.name, problem, remedy)
            for axis, (length, wanted) in enumerate(zip(shape, spec.shape, strict=True)):
                if isinstance(wanted, int):
                    if length != wanted and axis != spec.items:
                        problem = f"has length {length} on axis {axis}, the model wants {spec.text}"
                        remedy = "Resize, pad or cut the data"
                        raise CalibrationInputError(spec.name, problem, remedy)
                    if axis != spec.items:
                        continue
                first, owner = known.setdefault(
                    str(wanted) if axis != spec.items else "", (length, spec.name)
                )
                if length != first:
                    problem = (
                        f"has length {length} on axis {axis} ({wanted}) where {owner!r} has {first}"
                    )
                    raise CalibrationInputError(spec.name, problem, "Make them equally long")

    def finish(self) -> None:
        """Refuse inputs that teach nothing; note that they are few.

        Raises:
            CalibrationError: there are none, or all values of every input are equal.
        """
        if not self.items:
            size = self.signature.fixed or 1
            problem = "no items" if size == 1 else f"fewer than the {size} items of one batch"
            raise CalibrationError(
                f"calibration inputs: {problem}. Give at least {FEW}, better {SENSIBLE} or more"
            )
        if not self._varies:
            values = ", ".join(f"{n!r} is {v} everywhere" for n, v in self._first.items())
            raise CalibrationError(
                f"calibration inputs are constant ({values}): nothing can be learnt from them. "
                "Give real inputs, preprocessed as the model expects"
            )
        different = self.items - self._copies
        if self._copies:
            self.note(
                f"{self._copies} of {self.items} calibration items are copies of others, which "
                "tell nothing new"
            )
        if different < FEW:
            self.note(
                f"only {different} calibration items: statistics of so few are rough; "
                f"{SENSIBLE} or more are sensible"
            )

    def note(self, text: str) -> None:
        """Keep a note."""
        self.notes[text] = None

    def _length(self, feeds: Feeds) -> int:
        """Return how many items a batch has of which each is a part of every input."""
        if any(spec.items is None or feeds[spec.name].dtype.hasobject for spec in self.signature):
            return 0
        return self.signature.count(feeds)

    def _is_copy(self, feeds: Feeds, item: int) -> bool:
        """Say whether an item was seen before."""
        digest = blake2b(digest_size=16)
        for spec in self.signature:
            digest.update(np.ascontiguousarray(feeds[spec.name].take(item, spec.items)).tobytes())
        key = digest.digest()
        if key in self._seen:
            return True
        self._seen.add(key)
        return False

    def _typed(self, spec: InputSpec, array: Feed) -> Feed:
        """Return an array in the type of its input."""
        given, wanted = array.dtype, spec.dtype
        if given == wanted:
            return array
        whole = given.kind in "iub"
        if self.exact or not (whole or (is_float(given) and is_float(wanted))):
            problem = f"has type {given}, the model wants {wanted}"
            raise CalibrationInputError(spec.name, problem, f"Convert it to {wanted} yourself")
        if is_float(wanted):
            if whole:
                self.note(f"input {spec.name!r}: {given} values are fed as {wanted} as they are")
            with np.errstate(all="ignore"):  # what overflows is found among the values
                return array.astype(wanted)
        low, high = (0, 1) if wanted.kind == "b" else _limits(wanted)
        if array.size and not (low <= int(array.min()) and int(array.max()) <= high):
            problem = f"holds {int(array.min())} to {int(array.max())}, beyond {wanted}"
            raise CalibrationInputError(spec.name, problem, "Check what the numbers mean")
        return array.astype(wanted)

    def _values(self, spec: InputSpec, array: Feed) -> None:
        """Refuse values that cannot be fed; find out whether they vary."""
        if not array.size:
            return
        if is_float(spec.dtype):
            bad = int(array.size - np.isfinite(array).sum())
            if bad:
                problem = f"{bad} of {array.size} values are NaN or infinite in the batch"
                where = f"{problem} that begins at item {self.items}"
                raise CalibrationInputError(spec.name, where, "Repair or leave out such items")
        if spec.rows:
            low, high = int(array.min()), int(array.max())
            if high >= spec.rows or low < -spec.rows:
                bad_id = high if high >= spec.rows else low
                problem = f"holds the id {bad_id}, but the model's table has {spec.rows} rows"
                raise CalibrationInputError(spec.name, problem, "Use the tokenizer of this model")
        if not self._varies:
            first = self._first.setdefault(spec.name, array.reshape(-1)[0])
            self._varies = bool((array != first).any())


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)
