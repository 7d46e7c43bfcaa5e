"""Calibration inputs as a value that can be read again and again, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Feed = NDArray[Any]
Feeds = Mapping[str, Feed]

ORIGIN = "calibration data"
"""What reports call inputs that a user gave."""


@runtime_checkable
class Batches(Protocol):
    """Inputs of a model, the same with every iteration.

    Attributes:
        samples: number of items along the batch axis, all batches together.
        origin: where they come from, for reports: ``calibration data`` or ``made up``.
    """

    @property
    def samples(self) -> int:
        """Return the number of items."""
        ...

    @property
    def origin(self) -> str:
        """Return where the items come from, for reports."""
        ...

    def __iter__(self) -> Iterator[Feeds]:
        """Yield one array for every input, batch by batch."""
        ...

    def first(self, count: int) -> Batches:
        """Return the first ``count`` items."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayBatches:
    """Arrays in memory, or mapped from files, cut along their batch axes.

    Attributes:
        arrays: one array for every input, equally long along the batch axis.
        size: items in a batch.
        origin: where they come from.
        axes: batch axis of an input, the first where it is not named; None for an array that every
            batch gets whole.
        dtypes: types that batches are cast to, where the arrays have another one.
        whole: batches have exactly ``size`` items; what does not fill the last one is left out.
        chosen: numbers of the items that are used, in order; None for all.
    """

    arrays: Feeds
    size: int
    origin: str = ORIGIN
    axes: Mapping[str, int | None] = field(default_factory=dict)
    dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    whole: bool = False
    chosen: NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """Return the length of the batch axis, as far as batches go."""
        lengths = (
            array.shape[axis]
            for n, array in self.arrays.items()
            if (axis := self._axis(n)) is not None
        )
        length = next(lengths, 0) if self.chosen is None else len(self.chosen)
        return length - length % self.size if self.whole else length

    def __iter__(self) -> Iterator[Feeds]:
        """Yield consecutive slices; the last may be shorter unless batches are ``whole``."""
        stop = self.samples
        for start in range(0, stop, self.size):
            items = slice(start, min(start + self.size, stop))
            yield {name: self._cast(name, self._part(name, items)) for name in self.arrays}

    def first(self, count: int) -> ArrayBatches:
        """Return the first items, at least one; whole batches stay whole."""
        count = max(1, count)
        size = self.size if self.whole else min(self.size, count)
        items = slice(0, max(size, count - count % size) if self.whole else count)
        if self.chosen is not None:
            return replace(self, chosen=self.chosen[items], size=size)
        cut = {name: self._part(name, items) for name in self.arrays}
        return replace(self, arrays=cut, size=size)

    def _axis(self, name: str) -> int | None:
        return self.axes.get(name, 0)

    def _part(self, name: str, items: slice) -> Feed:
        axis = self._axis(name)
        if axis is None:
            return self.arrays[name]
        return take(self.arrays[name], items if self.chosen is None else self.chosen[items], axis)

    def _cast(self, name: str, array: Feed) -> Feed:
        made: Feed = np.ascontiguousarray(array, self.dtypes.get(name))
        return made.reshape(array.shape)  # NumPy makes a number an array of one


def take(array: Feed, items: slice | NDArray[np.int64], axis: int) -> Feed:
    """Return items along an axis; a slice of them is a view."""
    part: Feed = array[(slice(None),) * axis + (items,)]
    return part
