"""A dim made of numbers, as a pass that reads activations sees it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spa_onnx.score.consumers import Consumer, Pair
from tests.graph_writer import AnyArray

RNG = np.random.default_rng(0)


@dataclass
class Given:
    """What a pass reads of a dim; the energy stands for sums over its own weights."""

    lanes: int
    found: list[Consumer]
    rows: int = 1
    energy: Any = None
    notes: list[str] = field(default_factory=list)
    products: tuple[Pair, ...] = ()

    @property
    def units(self) -> int:
        return self.rows * self.lanes

    def note(self, text: str) -> None:
        self.notes.append(text)

    def consumers(self) -> list[Consumer]:
        return self.found

    def pairs(self) -> tuple[Pair, ...]:
        return self.products

    def total(self, saliency: Any, *roles: str) -> AnyArray:
        return np.asarray(self.energy)


def features(groups: int, count: int, samples: int = 200) -> AnyArray:
    """Return correlated features with means, ``(groups, samples, features)``."""
    x = RNG.standard_normal((groups, samples, count))
    return x @ RNG.standard_normal((groups, count, count)) + RNG.standard_normal(count)


def consumer(
    units: AnyArray, outputs: int = 3, samples: int = 200, x: AnyArray | None = None
) -> Consumer:
    """Return a consumer of features ``x``, correlated ones if none are given."""
    groups, count = units.shape
    x = features(groups, count, samples) if x is None else x
    weight = RNG.standard_normal((groups, outputs, count))
    covariance = np.stack([np.atleast_2d(np.cov(g.T, bias=True)) for g in x])
    return Consumer(weight, covariance, units, x.mean(axis=1))
