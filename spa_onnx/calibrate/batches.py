"""Calibration inputs as a value that can be read again and again, one batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Feed = NDArray[Any]


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

    def __iter__(self) -> Iterator[Mapping[str, Feed]]:
        """Yield one array for every input, batch by batch."""
        ...

    def first(self, count: int) -> Batches:
        """Return the first ``count`` items."""
        ...


@dataclass(frozen=True, slots=True)
class ArrayBatches:
    """Arrays in memory, or mapped from files, cut along their first axis.

    Attributes:
        arrays: one array for every input, equally long along the first axis.
        size: items in a batch.
        origin: where they come from.
    """

    arrays: Mapping[str, Feed]
    size: int
    origin: str = "calibration data"

    @property
    def samples(self) -> int:
        """Return the length of the first axis."""
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    def __iter__(self) -> Iterator[Mapping[str, Feed]]:
        """Yield consecutive slices; items that do not fill the last batch of a fixed size stay."""
        for start in range(0, self.samples, self.size):
            yield {
                name: np.ascontiguousarray(array[start : start + self.size])
                for name, array in self.arrays.items()
            }

    def first(self, count: int) -> ArrayBatches:
        """Return the first items as arrays of their own length."""
        cut = {name: array[:count] for name, array in self.arrays.items()}
        return ArrayBatches(cut, min(self.size, max(1, count)), self.origin)
