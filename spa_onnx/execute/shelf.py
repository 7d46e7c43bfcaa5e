"""Arrays that wait for their turn: in memory up to a limit, in a temporary folder above it."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(slots=True)
class Shelf:
    """Keeps arrays under keys; a context manager, for its files go with it.

    Attributes:
        memory: bytes that arrays may take in memory.
        spilled: bytes that went to files so far.
    """

    memory: int
    spilled: int = 0
    _held: dict[Hashable, Array | Path] = field(default_factory=dict)
    _shapes: dict[Hashable, tuple[np.dtype[Any], tuple[int, ...]]] = field(default_factory=dict)
    _used: int = 0
    _folder: tempfile.TemporaryDirectory[str] | None = None
    _number: int = 0

    def __enter__(self) -> Shelf:
        """Return the shelf."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget everything."""
        self._held.clear()
        if self._folder is not None:
            self._folder.cleanup()

    def put(self, key: Hashable, array: Array) -> None:
        """Keep an array, instead of one under the same key."""
        if key in self._held:
            self.drop(key)
        if self._used + array.nbytes <= self.memory or array.dtype.hasobject:
            self._used += array.nbytes
            self._held[key] = array
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="spa-onnx-")
        self._number += 1
        path = Path(self._folder.name, f"{self._number}.bin")
        np.ascontiguousarray(array).tofile(path)
        self.spilled += array.nbytes
        self._held[key] = path
        self._shapes[key] = (array.dtype, array.shape)

    def get(self, key: Hashable) -> Array:
        """Return an array."""
        held = self._held[key]
        if isinstance(held, Path):
            dtype, shape = self._shapes[key]
            return np.fromfile(held, dtype).reshape(shape)
        return held

    def drop(self, key: Hashable) -> None:
        """Forget an array."""
        held = self._held.pop(key)
        if isinstance(held, Path):
            held.unlink()
        else:
            self._used -= held.nbytes
