"""Transforms into frequencies."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import NEWEST, end, forms, tokens

Build = Callable[[GraphBuilder], str]


def _dft(axis: int, length: int | None = None, **attributes: Any) -> Build:
    """Real parts of the frequencies of features along ``axis`` of ``(2, 5, 8, 1)``."""

    def build(g: GraphBuilder) -> str:
        x = g.node("Unsqueeze", [tokens(g), g.constant([-1])])
        inputs = [x, "" if length is None else g.constant(np.array(length))]
        old = g.opset < 20
        if old:
            y = g.node("DFT", inputs, axis=axis, **attributes)
        else:
            y = g.node("DFT", [*inputs, g.constant(np.array(axis))], **attributes)
        real = g.node("Gather", [y, g.constant(np.array(0))], axis=-1)
        return end(g, g.relu(real))

    return build


CASES = (
    *forms("DFT", "positions", (17, 20, NEWEST), _dft(1)),
    *forms("DFT", "one side", (17, 20, NEWEST), _dft(1, onesided=1)),
    *forms("DFT", "inverse", (20, NEWEST), _dft(1, inverse=1)),
    *forms("DFT", "padded", (20, NEWEST), _dft(1, 7)),
    *forms("DFT", "lanes", (17, 20, NEWEST), _dft(2), cut=False),
)
