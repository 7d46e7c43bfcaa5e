"""Sessions with inputs and outputs in memory that stays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.bench.kernels.shapes import Layer

Float32Array = NDArray[np.float32]

LINE = 64
"""Bytes of a cache line, at whose multiples the runtime's own tensors begin too."""


class Bound:
    """A session over copies of a layer, with an input and an output of its own for each."""

    def __init__(self, session: Any, inputs: Sequence[Float32Array], layer: Layer) -> None:
        value: Any = import_module("onnxruntime").OrtValue
        self.session = session
        self.binding = session.io_binding()
        self.outputs = [aligned(layer.y_shape) for _ in session.get_inputs()]
        for i, y in enumerate(self.outputs):
            y.fill(np.nan)  # what is not written shows
            self.binding.bind_ortvalue_input(f"x{i}", value.ortvalue_from_numpy(inputs[i]))
            self.binding.bind_ortvalue_output(f"y{i}", value.ortvalue_from_numpy(y))

    def run(self) -> None:
        """Run all copies of the layer."""
        self.session.run_with_iobinding(self.binding)

    def results(self) -> list[Float32Array]:
        """Run all copies and return the memory of their outputs."""
        self.run()
        return self.outputs


def aligned(shape: tuple[int, ...]) -> Float32Array:
    """Return an array that begins at a cache line; numpy's large ones begin 16 bytes behind."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(np.float32).reshape(shape)
