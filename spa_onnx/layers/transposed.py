"""ConvTranspose as a linear layer: an output position sees the inputs that reach it.

    Y[o, p] = sum over c, k of W[c, o, k] X[c, i]        where  i * stride + k * dilation - pad = p

A kernel position that no input reaches ``p`` with is a feature of zero there. Source: ONNX
ConvTranspose-22.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations
from math import prod
from typing import Any

import numpy as np

from spa_onnx.algebra.expression import IntArray
from spa_onnx.graph.node import Node
from spa_onnx.layers.convolution import Convolution
from spa_onnx.layers.layer import Array, Places, Stored
from spa_onnx.ops.rule import static
from spa_onnx.ops.window import Window


@dataclass(frozen=True, slots=True)
class TransposedConvolution(Convolution):
    """A ConvTranspose over any number of axes; the weight is ``(C_in, C_out / groups, ...)``.

    Attributes:
        padding: what is added to the output's lengths.
        asked: the output's lengths where the node names them.
    """

    padding: tuple[int, ...] = ()
    asked: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Return the number of output channels."""
        return self.shape[1] * self.groups

    @property
    def passes_through(self) -> bool:
        """Say whether groups have one channel each."""
        return self.shape[0] == self.groups

    @property
    def key(self) -> tuple[object, ...]:
        """Return input, kernel, groups and window."""
        kernel = (self.shape[0], *self.shape[2:])
        return self.source, "transposed", kernel, self.groups, self.window, self.padding, self.asked

    @staticmethod
    def of(node: Node, weight: Stored, shape: tuple[int, ...]) -> TransposedConvolution:
        """Return the layer of a node that sees a weight of this shape."""
        rank = len(shape) - 2
        return TransposedConvolution(
            node,
            weight,
            node.integer("group", 1),
            shape,
            Window.of(node, shape[2:]),
            padding=tuple(node.ints("output_padding", [0] * rank)),
            asked=tuple(node.ints("output_shape")[-rank:]),
        )

    @property
    def is_regular(self) -> bool:
        """Say whether output lengths are those of the specification.

        ONNX Runtime gives others where a kernel that does not reach from one input to the next is
        padded to the SAME length.
        """
        window = self.window
        reaches = zip(self.shape[2:], window.dilations, window.strides, strict=True)
        short = any((k - 1) * d + 1 < s for k, d, s in reaches)
        return not (short and window.auto_pad.startswith("SAME"))

    def _lengths(self, lengths: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output's lengths for those of an input."""
        if self.asked:
            return self.asked
        window = self.window
        made = (window.transposed_length(k, n, self.padding[k]) for k, n in enumerate(lengths))
        return tuple(static(made))

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the items of the batch and the output's spatial lengths."""
        return (shape[0], *self._lengths(shape[2:]))

    def features(self, x: Array, places: Places) -> Array:
        """Gather the inputs that reach each position, for every kernel position."""
        item, *where = places
        fronts = self._fronts(x.shape[2:])
        fields = np.zeros((len(item), x.shape[1], prod(self.shape[2:])), x.dtype)
        for tap, offset in enumerate(combinations(*map(range, self.shape[2:]))):
            reached = np.ones(len(item), bool)
            at: list[IntArray] = []
            for k, place in enumerate(where):
                step = place + fronts[k] - offset[k] * self.window.dilations[k]
                index, rest = np.divmod(step, self.window.strides[k])
                reached &= (rest == 0) & (index >= 0) & (index < x.shape[2 + k])
                at.append(index)
            chosen = np.flatnonzero(reached)
            inside: tuple[Any, ...] = (item[chosen], slice(None), *(k[chosen] for k in at))
            fields[chosen, :, tap] = x[inside]
        return fields.reshape(len(item), self.groups, -1)

    def _fronts(self, lengths: tuple[int, ...]) -> list[int]:
        """Return what is cut off in front of every spatial axis."""
        window, rank = self.window, len(lengths)
        if not self.asked and not window.auto_pad.startswith("SAME"):
            return list(window.pads[:rank])
        found = []
        for k, (old, new) in enumerate(zip(lengths, self._lengths(lengths), strict=True)):
            reach = (self.shape[2 + k] - 1) * window.dilations[k] + 1
            total = max(0, (old - 1) * window.strides[k] + self.padding[k] + reach - new)
            less = total // 2
            found.append(less if window.auto_pad == "SAME_UPPER" else total - less)
        return found

    def matrix(self, weight: Array) -> Array:
        """Lay channels and kernel out as features."""
        seen = self.weight.seen(weight)
        parts = seen.reshape(self.groups, -1, *seen.shape[1:])
        return parts.swapaxes(1, 2).reshape(self.groups, seen.shape[1], -1)

    def stored(self, matrix: Array) -> Array:
        """Undo :meth:`matrix`."""
        parts = matrix.reshape(self.groups, self.shape[1], -1, *self.shape[2:])
        return self.weight.held(parts.swapaxes(1, 2).reshape(self.shape))

    def positions(self) -> IntArray:
        """Return the channel of every feature."""
        each = self.shape[0] // self.groups
        inside = np.repeat(np.arange(each), prod(self.shape[2:]))
        return np.arange(self.groups)[:, None] * each + inside
