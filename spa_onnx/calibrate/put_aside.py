"""Second moments that wait in files until they are asked for again."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass, field

from spa_onnx.execute.shelf import Shelf
from spa_onnx.layers.moments import Moments


@dataclass(slots=True, weakref_slot=True)
class PutAside:
    """Moments by key in a temporary folder, which goes with this object.

    Attributes:
        room: bytes that the files may take.
    """

    room: int
    _shelf: Shelf = field(default_factory=lambda: Shelf(0))
    _known: dict[Hashable, tuple[bool, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        weakref.finalize(self, self._shelf.__exit__, None, None, None)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._known

    def put(self, key: Hashable, moments: Moments) -> None:
        """Keep moments, unless they are here already or the files are full."""
        arrays = moments.arrays
        if key in self._known or self._shelf.spilled + sum(a.nbytes for a in arrays) > self.room:
            return
        for k, array in enumerate(arrays):
            self._shelf.put((key, k), array)
        self._known[key] = moments.diagonal, moments.count, len(arrays)

    def get(self, key: Hashable) -> Moments:
        """Return the moments of a key that is here."""
        diagonal, count, arrays = self._known[key]
        return Moments.of([self._shelf.get((key, k)) for k in range(arrays)], count, diagonal)
