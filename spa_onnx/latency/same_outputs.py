"""How far the outputs of two models lie apart, where they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Agreement:
    """What outputs of a model have in common with those of the first.

    Attributes:
        compared: outputs of the same name, shape and type.
        largest: difference among them; NaN where one is no number and the other is, None where
            nothing was compared.
        scale: magnitude of the largest value that it was compared with.
        left: outputs that were not compared, with the reason.
    """

    compared: int
    largest: float | None
    scale: float | None
    left: Mapping[str, str]

    @property
    def relative(self) -> float | None:
        """Return the difference as a share of the scale."""
        if self.largest is None or self.scale is None:
            return None
        return self.largest / self.scale if self.scale else self.largest


def agreement(first: Mapping[str, Any], other: Mapping[str, Any], same_inputs: bool) -> Agreement:
    """Compare outputs by name."""
    left: dict[str, str] = {}
    pairs = []
    for name, value in other.items():
        reason = _obstacle(first, name, value) if same_inputs else "the inputs are others"
        if reason:
            left[name] = reason
        else:
            pairs.append((first[name], value))
    left |= {name: "the model has no such output" for name in first if name not in other}
    if not pairs:
        return Agreement(0, None, None, left)
    largest = max((_difference(a, b) for a, b in pairs), key=lambda d: (np.isnan(d), d))
    scale = max(float(np.max(np.abs(_finite(a)), initial=0.0)) for a, _ in pairs)
    return Agreement(len(pairs), largest, scale, left)


def _obstacle(first: Mapping[str, Any], name: str, value: Any) -> str:
    """Return why an output cannot be compared, or nothing."""
    if name not in first:
        return "the first model has no such output"
    expected = first[name]
    if not (isinstance(value, np.ndarray) and isinstance(expected, np.ndarray)):
        return "it is no tensor"
    if value.dtype != expected.dtype or value.shape != expected.shape:
        return (
            f"it is {value.dtype} {list(value.shape)}, the first model's {expected.dtype} "
            f"{list(expected.shape)}"
        )
    return "" if value.dtype.kind in "fiub" else "it holds no numbers"


def _finite(values: Any) -> Any:
    wide = np.asarray(values, np.float64)
    return wide[np.isfinite(wide)]


def _difference(a: Any, b: Any) -> float:
    """Return the largest difference; the same infinities and gaps do not differ."""
    wide, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = (wide == other) | (np.isnan(wide) & np.isnan(other))
    if np.isnan(wide[~same]).any() or np.isnan(other[~same]).any():
        return float("nan")
    return float(np.max(np.abs(wide[~same] - other[~same]), initial=0.0))
