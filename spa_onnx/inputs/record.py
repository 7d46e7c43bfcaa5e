"""Batches that were read once and are kept: in memory up to a limit, in a file above it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spa_onnx.errors import CalibrationError
from spa_onnx.inputs.batches import ORIGIN, Feed, Feeds, take
from spa_onnx.inputs.check import Checker
from spa_onnx.inputs.signature import Signature

MEMORY = 256_000_000
"""Bytes of recorded batches that stay in memory."""


class _TemporaryFile:
    """A file without a name, gone when the last array in it is."""

    def __init__(self) -> None:
        self.stream = tempfile.TemporaryFile(prefix="spa-onnx-")  # noqa: SIM115 (closed below)

    def __del__(self) -> None:
        if hasattr(self, "stream"):
            self.stream.close()


@dataclass(frozen=True, slots=True)
class _Stored:
    """An array in the temporary file."""

    file: _TemporaryFile
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def load(self) -> Feed:
        self.file.stream.seek(self.offset)
        count = int(np.prod(self.shape))
        return np.fromfile(self.file.stream, self.dtype, count).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class RecordedBatches:
    """Batches as they were read.

    Attributes:
        kept: arrays by input, batch by batch.
        counts: items of each batch.
        signature: what the model wants.
        origin: where they come from.
    """

    kept: Sequence[Mapping[str, Feed | _Stored]]
    counts: Sequence[int]
    signature: Signature
    origin: str = ORIGIN

    @property
    def samples(self) -> int:
        """Return the number of items."""
        return sum(self.counts)

    def __iter__(self) -> Iterator[Feeds]:
        """Yield the batches; of the last one the items that are left of it."""
        for count, feeds in zip(self.counts, self.kept, strict=True):
            loaded = {n: a.load() if isinstance(a, _Stored) else a for n, a in feeds.items()}
            yield items_of(self.signature, loaded, slice(0, count))

    def first(self, count: int) -> RecordedBatches:
        """Return the first items, at least one; batches of a fixed size stay whole."""
        left, counts = max(1, count), list[int]()
        for size in self.counts:
            if left <= 0 or (self.signature.fixed and counts and left < size):
                break
            counts.append(size if self.signature.fixed else min(size, left))
            left -= size
        return replace(self, kept=self.kept[: len(counts)], counts=counts)


def items_of(signature: Signature, feeds: Feeds, items: slice) -> Feeds:
    """Return some items of a batch."""
    return {
        spec.name: feeds[spec.name]
        if spec.items is None
        else np.ascontiguousarray(take(feeds[spec.name], items, spec.items))
        for spec in sorted(signature, key=lambda s: s.items != 0)
    }


def record(
    pieces: Iterable[Feeds],
    checker: Checker,
    limit: int,
    tell: Callable[[int, int], None] | None = None,
    memory: int = MEMORY,
) -> RecordedBatches:
    """Read pieces of any length once, and keep at most ``limit`` items of them as batches.

    Raises:
        CalibrationError: a piece does not fit the model, or the disk is full.
    """
    recorder = _Recorder(memory)
    signature = checker.signature
    for feeds in _regrouped(pieces, checker, limit):
        recorder.add(feeds)
        recorder.counts.append(signature.count(feeds))
        if tell is not None:
            tell(sum(recorder.counts), limit)
    return RecordedBatches(recorder.kept, recorder.counts, signature)


def _regrouped(pieces: Iterable[Feeds], checker: Checker, limit: int) -> Iterator[Feeds]:
    """Yield checked batches of the size that fits; pieces of other lengths are not mixed."""
    signature, fixed = checker.signature, checker.signature.fixed
    limit = max(fixed, limit - limit % fixed) if fixed else limit
    waiting: list[Feeds] = []
    given = left_out = 0
    for piece in pieces:
        feeds = checker.batch(piece)
        feeds = items_of(signature, feeds, slice(0, limit - given))
        given += signature.count(feeds)
        if waiting and _lengths(signature, waiting[0]) != _lengths(signature, feeds):
            rest = yield from _emit(signature, waiting, everything=True)
            left_out += sum(map(signature.count, rest))
            waiting = []
        waiting = yield from _emit(signature, [*waiting, feeds], everything=False)
        if given >= limit:
            break
    rest = yield from _emit(signature, waiting, everything=True)
    left_out += sum(map(signature.count, rest))
    checker.items = given - left_out
    if left_out:
        checker.note(
            f"{left_out} calibration items were left out: the model runs on batches of {fixed}"
        )


def _emit(
    signature: Signature, waiting: list[Feeds], *, everything: bool
) -> Generator[Feeds, None, list[Feeds]]:
    """Yield full batches of what waits, and return the rest; not even a rest if ``everything``."""
    if not waiting:
        return []
    size = signature.batch_size({n: a.shape for n, a in waiting[0].items()})
    count = sum(map(signature.count, waiting))
    if count < size and not everything:
        return waiting
    joined = {
        spec.name: waiting[0][spec.name]
        if spec.items is None
        else np.concatenate([f[spec.name] for f in waiting], axis=spec.items)
        for spec in signature
    }
    start = 0
    while start < count and (count - start >= size or (everything and not signature.fixed)):
        yield items_of(signature, joined, slice(start, min(start + size, count)))
        start += size
    return [items_of(signature, joined, slice(start, count))] if start < count else []


def _lengths(signature: Signature, feeds: Feeds) -> list[tuple[object, ...]]:
    """Return what two batches must share to be one; inputs that all batches share by value."""
    return [
        (feeds[s.name].tobytes(),)
        if s.items is None
        else tuple(n for k, n in enumerate(feeds[s.name].shape) if k != s.items)
        for s in signature
    ]


@dataclass(slots=True)
class _Recorder:
    memory: int
    kept: list[dict[str, Feed | _Stored]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    _used: int = 0
    _file: _TemporaryFile | None = None

    def add(self, feeds: Feeds) -> None:
        self.kept.append({name: self._keep(array) for name, array in feeds.items()})

    def _keep(self, array: Feed) -> Feed | _Stored:
        """Return an array of our own, for the caller may fill his again."""
        if self._used + array.nbytes <= self.memory:
            self._used += array.nbytes
            return array.copy()
        try:
            if self._file is None:
                self._file = _TemporaryFile()
            offset = self._file.stream.seek(0, 2)
            self._file.stream.write(np.ascontiguousarray(array).tobytes())
            self._file.stream.flush()
        except OSError as failure:
            raise CalibrationError(
                f"calibration inputs cannot be kept in a temporary file ({failure.strerror}). "
                "Give fewer samples, or set TMPDIR to a larger disk"
            ) from failure
        return _Stored(self._file, offset, array.dtype, array.shape)
