"""Lengths of spatial axes behind a sliding window.

Source: ONNX Conv-22, ConvTranspose-22 and MaxPool-22, sections on output shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_onnx.algebra.size import Size
from spa_onnx.graph.node import Node
from spa_onnx.ops.rule import RefusalError


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel, stride, dilation and padding of every spatial axis."""

    kernel: tuple[Size, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    auto_pad: str
    ceil: bool

    @staticmethod
    def of(node: Node, kernel: Sequence[Size]) -> Window:
        """Read a window from a node's attributes."""
        rank = len(kernel)
        if any(n < 1 for n in (*node.ints("strides"), *node.ints("dilations"))):
            raise RefusalError("a stride or dilation below one")
        return Window(
            kernel=tuple(kernel),
            strides=tuple(node.ints("strides", [1] * rank)),
            dilations=tuple(node.ints("dilations", [1] * rank)),
            pads=tuple(node.ints("pads", [0] * 2 * rank)),
            auto_pad=node.text("auto_pad", "NOTSET"),
            ceil=bool(node.integer("ceil_mode", 0)),
        )

    def is_pointwise(self, k: int) -> bool:
        """Say whether axis ``k`` passes through: nothing is mixed, skipped or padded."""
        rank = len(self.kernel)
        unpadded = self.pads[k] == self.pads[k + rank] == 0
        return self.kernel[k] == 1 and self.strides[k] == 1 and unpadded

    def length(self, k: int, size: Size) -> Size:
        """Return the output length of axis ``k`` for a convolution or pooling."""
        stride = self.strides[k]
        if self.auto_pad.startswith("SAME"):
            return (size + (stride - 1)) // stride
        reach = (self.kernel[k] - 1) * self.dilations[k] + 1
        padded = size + self.pads[k] + self.pads[k + len(self.kernel)]
        if isinstance(padded, int) and isinstance(reach, int) and padded < reach:
            raise RefusalError(f"a window of {reach} on {padded} positions")
        if not self.ceil:
            return (padded - reach) // stride + 1
        length = (padded - reach + (stride - 1)) // stride + 1
        starts_outside = isinstance(length, int) and (length - 1) * stride >= size + self.pads[k]  # type: ignore[operator]
        return length - 1 if starts_outside else length

    def transposed_length(self, k: int, size: Size, output_padding: int) -> Size:
        """Return the output length of axis ``k`` for a transposed convolution."""
        stride = self.strides[k]
        if self.auto_pad.startswith("SAME"):
            return size * stride
        reach = (self.kernel[k] - 1) * self.dilations[k] + 1
        pads = self.pads[k] + self.pads[k + len(self.kernel)]
        return (size - 1) * stride + reach - pads + output_padding
