"""How long a sparse layer takes beside the dense one: what ``auto`` chooses patterns by."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from spa_onnx.layers.convolution import Convolution
from spa_onnx.layers.layer import Layer
from spa_onnx.sparse.pattern import UNSTRUCTURED, Pattern

RelativeTime = Callable[[Layer, Pattern, float], float | None]
"""Time of a layer at a pattern and sparsity as a share of its dense time; None where no kernel has
the pattern."""

ROWS = ((64, "128"), (4, "16"), (0, "1"))
"""Rows of a product from which on an entry of the table is taken."""

MOST = 0.99
"""Largest sparsity that a time is estimated for."""


@dataclass(frozen=True, slots=True)
class TableOfSpeed:
    """Times from a table of speed-ups, in between by straight lines.

    Attributes:
        rows: how many samples an item of the inputs has, by output of the layer.
        table: speed-ups by kind of layer and pattern.
    """

    rows: Mapping[str, int]
    table: Mapping[str, Any]

    def __call__(self, layer: Layer, pattern: Pattern, sparsity: float) -> float | None:
        """Return the time as a share of the dense one."""
        name = str(pattern)
        speeds = self._kind(layer).get("1x1" if name == UNSTRUCTURED else name)
        if speeds is None:
            return None
        return between(self.table["sparsity"], [1 / s for s in speeds], sparsity)

    def _kind(self, layer: Layer) -> Mapping[str, Sequence[float]]:
        if isinstance(layer, Convolution):
            taps = layer.positions().shape[1] // layer.shape[1]
            kind: Mapping[str, Sequence[float]] = self.table["pointwise" if taps == 1 else "window"]
            return kind
        rows = self.rows.get(layer.node.outputs[0], 1)
        entry = next(entry for least, entry in ROWS if rows >= least)
        linear: Mapping[str, Sequence[float]] = self.table["linear"][entry]
        return linear


def between(known: Sequence[float], times: Sequence[float], sparsity: float) -> float:
    """Return a time from those at some sparsities, in between by straight lines.

    Below the first it goes on as between the first two, and half of the last is left at 1.
    """
    first = times[0] + known[0] * (times[0] - times[1]) / (known[1] - known[0])
    return float(np.interp(sparsity, [0.0, *known, 1.0], [first, *times, times[-1] / 2]))


@lru_cache(maxsize=1)
def default_table() -> Mapping[str, Any]:
    """Return the table that comes with the package."""
    return tomllib.loads(files("spa_onnx.sparse").joinpath("speed.toml").read_text("utf-8"))


def fastest(
    layer: Layer, patterns: Sequence[Pattern], sparsity: float, time: RelativeTime
) -> float | None:
    """Return the least relative time that a pattern reaches at a sparsity.

    Patterns that say their sparsity count where it is no more than this.
    """
    within = [p for p in patterns if p.sparsity is None or p.sparsity <= sparsity]
    found = [time(layer, p, sparsity) for p in within]
    return min((t for t in found if t is not None), default=None)


def sparsity_for(layer: Layer, pattern: Pattern, wanted: float, time: RelativeTime) -> float | None:
    """Return the least sparsity at which a pattern takes at most so long, if there is one."""
    low, high = 0.0, MOST if pattern.sparsity is None else pattern.sparsity
    slowest = time(layer, pattern, high)
    if slowest is None or slowest > wanted:
        return None
    while pattern.sparsity is None and high - low > PRECISION:
        middle = (low + high) / 2
        now = time(layer, pattern, middle)
        if now is not None and now <= wanted:
            high = middle
        else:
            low = middle
    return high


PRECISION = 1e-4
"""How exactly a sparsity is searched."""
