"""Geometric means of ratios over the layers of a group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any, Protocol


class Rated(Protocol):
    """A layer that was timed."""

    @property
    def group(self) -> str:
        """The name of its group."""
        ...

    @property
    def together(self) -> str:
        """The name under which it is averaged with layers of other groups, or nothing."""
        ...

    @property
    def pattern(self) -> str:
        """The pattern of its zeros."""
        ...

    @property
    def sparsity(self) -> float:
        """The share of zeros."""
        ...

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        ...


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

    def as_json(self) -> dict[str, Any]:
        """Return it with its name, for a report."""
        return {
            "group": self.group,
            "pattern": self.pattern,
            "sparsity": self.sparsity,
            "layers": len(self.ratios),
            "mean": self.mean,
            "least": min(self.ratios),
            "greatest": max(self.ratios),
        }

    def __str__(self) -> str:
        low, high = min(self.ratios), max(self.ratios)
        return f"{self.mean:.2f} ({low:.1f}-{high:.1f})"


def means(rows: Sequence[Rated]) -> list[Mean]:
    """Return the means of groups in the order in which they ran, then of groups together."""
    alone = [(row.group, row) for row in rows]
    return [*_means(alone), *_means(list(_together(rows)))]


def _means(named: Sequence[tuple[str, Rated]]) -> Iterator[Mean]:
    found: dict[tuple[str, str, float], list[float]] = {}
    for name, row in named:
        found.setdefault((name, row.pattern, row.sparsity), []).append(row.ratio)
    for key, ratios in found.items():
        yield Mean(*key, tuple(ratios))


def _together(rows: Sequence[Rated]) -> Iterator[tuple[str, Rated]]:
    """Yield rows that more than one group has of those that are averaged together."""
    joined: dict[tuple[str, str, float], set[str]] = {}
    for row in rows:
        joined.setdefault(_shared(row), set()).add(row.group)
    for row in rows:
        if row.together and len(joined[_shared(row)]) > 1:
            yield row.together, row


def _shared(row: Rated) -> tuple[str, str, float]:
    return row.together, row.pattern, row.sparsity
