"""Compare some outputs of a layer with float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.cuda.weights import DrawnWeight, HalfArray
from spa_onnx.errors import SpaError

CUT = 2.0**-23
"""What a number may lose that is added to others in float32, of the largest of them.

Tensor cores shift what they add to the exponent of the largest and cut what is below its last bit.
Source: Fasi, Higham, Mikaitis and Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ
Computer Science 7 (2021), section 3.
"""

PARTS = 34
"""Sums of parts that are added at the end, at most."""

ROUNDING: Mapping[str, tuple[float, float]] = {
    "float16": (2.0**-11, 2.0**-25),
    "bfloat16": (2.0**-8, 2.0**-134),
}
"""What rounding to a type changes a number by, as a share of it and at least."""

PLACES = 64
"""Tokens or pixels that are compared."""


class WrongOutputError(SpaError):
    """A layer's output is not its inputs' product."""

    def __init__(self, layer: str, kernel: str, distance: float, bound: float) -> None:
        super().__init__(
            f"layer {layer}, kernel {kernel}: an output differs from the product in float64 by "
            f"{distance:.3g}, and rounding explains {bound:.3g}. Please report it with `spa-onnx "
            "doctor --json`"
        )


def check(name: str, kernel: str, weight: DrawnWeight, x: HalfArray, y: HalfArray) -> None:
    """Refuse outputs that rounding does not explain.

    Every product is cut once, and the sum so far with it at most once more.

    Args:
        name: of the layer, for the message.
        kernel: for the message.
        weight: of the layer.
        x: inputs, ``(tokens, columns)`` or ``(images, columns, height, width)``.
        y: outputs, alike.

    Raises:
        WrongOutputError: a difference is too large, or no number.
    """
    inputs, found = _places(x).astype(np.float64), _places(y)[:, weight.rows].astype(np.float64)
    wide = weight.sample.astype(np.float64)
    exact, sizes = inputs @ wide.T, np.abs(inputs) @ np.abs(wide).T
    share, least = ROUNDING[y.dtype.name]
    bound = sizes * (CUT * (2 * np.count_nonzero(wide, axis=1) + PARTS))
    bound += share * (np.abs(exact) + bound) + least
    distance = np.abs(found - exact)
    wrong = ~(distance <= bound)  # NaN is no small distance
    if wrong.any():
        worst = np.argmax(np.where(wrong, np.nan_to_num(distance, nan=np.inf), -1))
        raise WrongOutputError(name, kernel, distance.flat[worst], bound.flat[worst])


def _places(tensor: HalfArray) -> NDArray[Any]:
    """Return some places of a tensor, ``(places, channels)``."""
    random = np.random.default_rng(2)
    if tensor.ndim == 2:
        count = len(tensor)
        return tensor[random.choice(count, min(count, PLACES), replace=False)]
    images, _, height, width = tensor.shape
    count = images * height * width
    some = random.choice(count, min(count, PLACES), replace=False)
    image, line, column = np.unravel_index(some, (images, height, width))
    return tensor[image, :, line, column]
