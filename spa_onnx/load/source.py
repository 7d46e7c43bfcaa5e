"""Bytes of a model, in a file or in memory, read piece by piece.

Files are read, not mapped: page faults of a large mapping cost more than the copy, and pages of a
mapping count as our memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

CHUNK = 8 << 20
"""Bytes copied at once; about what the last cache level holds."""

WINDOW = 4096
"""Bytes read ahead while a file's structure is scanned."""


class Source(Protocol):
    """Random access to bytes."""

    size: int

    def read_into(self, offset: int, target: NDArray[np.uint8]) -> None:
        """Fill ``target`` from ``offset``.

        Raises:
            OSError: the bytes end before.
        """
        ...


class FileSource:
    """A file, opened once and read at offsets."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._handle)
        self.size = os.fstat(self._handle).st_size

    def read_into(self, offset: int, target: NDArray[np.uint8]) -> None:
        """Fill ``target``; the file may not have shrunk since it was opened."""
        view, done = memoryview(target.data), 0
        while done < len(view):
            count = os.preadv(self._handle, [view[done:]], offset + done)
            if count == 0:
                raise OSError(f"{self._path} ends at byte {offset + done}")
            done += count


class MemorySource:
    """Bytes in memory."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.size = data, len(data)

    def read_into(self, offset: int, target: NDArray[np.uint8]) -> None:
        """Fill ``target``."""
        target[:] = np.frombuffer(self.data, np.uint8, len(target), offset)


def read(source: Source, offset: int, length: int) -> NDArray[np.uint8]:
    """Return bytes; of a memory source without a copy."""
    if isinstance(source, MemorySource):
        return np.frombuffer(source.data, np.uint8, length, offset)
    target = np.empty(length, np.uint8)
    source.read_into(offset, target)
    return target


def chunks(source: Source, offset: int, length: int) -> Iterator[memoryview]:
    """Yield bytes in pieces of bounded size; a piece is valid until the next one is asked for."""
    scratch = np.empty(min(CHUNK, length), np.uint8)
    for start in range(0, length, CHUNK):
        part = scratch[: min(CHUNK, length - start)]
        source.read_into(offset + start, part)
        yield part.data


class Scanned:
    """Shows a source as a sequence of bytes, of which little is in memory at a time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start = 0
        self._window = b""

    def __len__(self) -> int:
        return self._source.size

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> bytes: ...
    def __getitem__(self, at: int | slice) -> int | bytes:
        if isinstance(at, slice):
            return read(self._source, at.start, at.stop - at.start).tobytes()
        inside = at - self._start
        if not 0 <= inside < len(self._window):
            length = min(WINDOW, self._source.size - at)
            self._start, inside = at, 0
            self._window = read(self._source, at, length).tobytes()
        return self._window[inside]
