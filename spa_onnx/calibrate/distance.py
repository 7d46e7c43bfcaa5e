"""How far outputs of a changed network are from the original's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Outputs = Sequence[Sequence[Array]]
"""Arrays by batch and output."""

FARTHEST = 1e30
"""Distance of outputs that are no numbers where the original's are."""


def output_distance(dense: Outputs, other: Outputs) -> float:
    """Return the squared change of float outputs in shares of their variance, mean over outputs.

    The variance of an output is taken over all items of all batches, at every position; where that
    tells nothing, for there is one item or lengths differ between batches, over all its numbers. Of
    a network without outputs of floats it is the share of numbers that changed. Outputs whose shape
    depends on their values and changed are left out.
    """
    floats, others = list[float](), list[float]()
    for k in range(len(dense[0]) if dense else 0):
        old, new = [batch[k] for batch in dense], [batch[k] for batch in other]
        if any(a.shape != b.shape for a, b in zip(old, new, strict=True)):
            continue
        if all(map(_is_float, old)):
            energy = _energy(old)
            if energy > 0:
                floats.append(min(FARTHEST, _error(old, new) / energy))
        elif sum(a.size for a in old):
            changed = sum(int((a != b).sum()) for a, b in zip(old, new, strict=True))
            others.append(changed / sum(a.size for a in old))
    shares = floats or others
    return float(np.mean(shares)) if shares else 0.0


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f"


def _error(old: Sequence[Array], new: Sequence[Array]) -> float:
    """Return the sum of squares of what changed, where the original is finite."""
    total = 0.0
    for a, b in zip(old, new, strict=True):
        known = np.isfinite(a)
        change = b[known].astype(np.float64) - a[known]
        total += float(np.square(change).sum())
    return total if np.isfinite(total) else FARTHEST


def _energy(old: Sequence[Array]) -> float:
    """Return the sum of squares about the mean."""
    finite = [np.where(np.isfinite(a), a, 0.0).astype(np.float64) for a in old]
    if len({a.shape[1:] for a in finite if a.ndim}) == 1 and all(a.ndim for a in finite):
        items = sum(len(a) for a in finite)
        if items > 1:
            mean = sum(a.sum(axis=0) for a in finite) / items
            by_place = sum(float(np.square(a - mean).sum()) for a in finite)
            if by_place > 0:
                return by_place
    flat = np.concatenate([a.reshape(-1) for a in finite])
    return float(np.square(flat - flat.mean()).sum()) if flat.size else 0.0
