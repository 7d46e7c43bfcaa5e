"""Geometric means of ratios over the layers of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from spa_onnx.bench.kernels.cases import Row


@dataclass(frozen=True, slots=True)
class Mean:
    """What a group of layers gains from zeros in a pattern.

    Attributes:
        group: or what several groups are together.
        pattern: of the zeros.
        sparsity: share of zeros.
        ratios: of the layers.
    """

    group: str
    pattern: str
    sparsity: float
    ratios: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Return the geometric mean."""
        return geometric_mean(self.ratios)

    def __str__(self) -> str:
        low, high = min(self.ratios), max(self.ratios)
        return f"{self.mean:.2f} ({low:.1f}-{high:.1f})"


def means(rows: Sequence[Row]) -> list[Mean]:
    """Return the means of groups in the order in which they ran, then of groups together."""
    alone = [(row.case.group.name, row) for row in rows]
    return [*_means(alone), *_means(list(_together(rows)))]


def _means(named: Sequence[tuple[str, Row]]) -> Iterator[Mean]:
    found: dict[tuple[str, str, float], list[float]] = {}
    for name, row in named:
        key = (name, row.timing.pattern, row.timing.sparsity)
        found.setdefault(key, []).append(row.timing.ratio)
    for key, ratios in found.items():
        yield Mean(*key, tuple(ratios))


def _together(rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    """Yield rows that more than one group has of those that are averaged together."""
    joined: dict[tuple[str, str, float], set[str]] = {}
    for row in rows:
        joined.setdefault(_shared(row), set()).add(row.case.group.name)
    for row in rows:
        if row.case.group.together and len(joined[_shared(row)]) > 1:
            yield row.case.group.together, row


def _shared(row: Row) -> tuple[str, str, float]:
    return row.case.group.together, row.timing.pattern, row.timing.sparsity
