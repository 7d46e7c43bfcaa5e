"""What an input of a model is for: by its type, shape, name and the table that it indexes."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

Role = Literal["picture", "picture last", "ids", "mask", "positions", "segments", "signal", "other"]

PICTURE_CHANNELS = (1, 3, 4)
SMALLEST_PICTURE, SHORTEST_SIGNAL = 8, 256

STATE = ("past", "cache", "state", "hidden")
"""Parts of names of inputs that hand results of an earlier run on."""


def role_of(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> Role:
    """Return what an input is, by its type and shape, the table that it indexes, and its name."""
    called = name.lower()
    if dtype.kind in "iub" and "mask" in called:
        return "mask"
    if dtype.kind == "i" and "position" in called and shape:
        return "positions"
    if dtype.kind == "i" and ("token_type" in called or "segment" in called):
        return "segments"
    if dtype.kind in "iu" and rows:
        return "ids"
    if any(part in called for part in STATE):
        return "other"
    if dtype.kind == "f" or dtype == np.uint8:
        kind = _picture(shape)
        if kind is not None:
            return kind
        if dtype.kind == "f" and len(shape) in (2, 3) and shape[-1] >= SHORTEST_SIGNAL:
            return "signal" if len(shape) == 2 or shape[1] == 1 else "other"
    return "other"


def _picture(shape: tuple[int, ...]) -> Role | None:
    axes = shape[1:] if len(shape) == 4 else shape if len(shape) == 3 else ()
    least = SMALLEST_PICTURE if len(shape) == 4 else 4 * SMALLEST_PICTURE
    if axes and axes[0] in PICTURE_CHANNELS and min(axes[1:]) >= least:
        return "picture"
    if axes and axes[-1] in PICTURE_CHANNELS and min(axes[:-1]) >= least:
        return "picture last"
    return None
