"""Batches of unequal sizes from lists of inputs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.graph_writer import AnyArray


@dataclass(frozen=True)
class Listed:
    """Batches as they are given."""

    feeds: Sequence[Mapping[str, AnyArray]]
    origin: str = "calibration data"

    @property
    def samples(self) -> int:
        return sum(len(next(iter(f.values()))) for f in self.feeds)

    def __iter__(self) -> Iterator[Mapping[str, AnyArray]]:
        return iter(self.feeds)

    def first(self, count: int) -> "Listed":
        return Listed(self.feeds[: max(1, min(count, len(self.feeds)))], self.origin)
