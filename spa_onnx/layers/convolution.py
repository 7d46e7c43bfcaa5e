"""Conv as a linear layer.

Source: ONNX Conv-22; matrix view of convolutions as in Frantar and Alistarh, "Optimal Brain
Compression", NeurIPS 2022, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations
from math import prod
from typing import Any

import numpy as np

from spa_onnx.algebra.expression import IntArray
from spa_onnx.graph.node import Node
from spa_onnx.layers.layer import Array, Places, Stored
from spa_onnx.ops.rule import static
from spa_onnx.ops.window import Window


@dataclass(frozen=True, slots=True)
class Convolution:
    """A Conv over any number of axes; a feature is one channel at one kernel position."""

    node: Node
    weight: Stored
    groups: int
    shape: tuple[int, ...]
    window: Window
    axis: int = 1
    output_axis: int = 1
    bias_factor: float = 1.0

    @property
    def source(self) -> str:
        """Return the first input."""
        name: str = self.node.inputs[0]
        return name

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Return one number a channel, as Conv wants its third input."""
        return (self.width,)

    @property
    def width(self) -> int:
        """Return the number of output channels."""
        return self.shape[0]

    @property
    def passes_through(self) -> bool:
        """Say whether groups have one channel each."""
        return self.shape[1] == 1

    @property
    def key(self) -> tuple[object, ...]:
        """Return input, kernel, groups and window."""
        return self.source, self.shape[1:], self.groups, self.window

    @staticmethod
    def of(node: Node, weight: Stored, shape: tuple[int, ...]) -> Convolution:
        """Return the layer of a node that sees a weight of this shape."""
        window = Window.of(node, shape[2:])
        return Convolution(node, weight, node.integer("group", 1), shape, window)

    def grid(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the items of the batch and the output's spatial lengths."""
        lengths = (self.window.length(k, n) for k, n in enumerate(shape[2:]))
        return (shape[0], *static(lengths))

    def grid_of_output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return all axes but the channels."""
        return (shape[0], *shape[2:])

    def places(self, grid: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
        """Return as many positions of every item of the batch."""
        items, positions = grid[0], prod(grid[1:])
        each = min(positions, -(-count // max(1, items)))
        chosen = np.argsort(rng.random((items, positions)), axis=1)[:, :each]
        where = np.unravel_index(chosen.reshape(-1), grid[1:])
        return (np.repeat(np.arange(items), each), *where)

    def features(self, x: Array, places: Places) -> Array:
        """Cut the receptive fields out of the padded input."""
        item, *where = places
        x = np.pad(x, [(0, 0), (0, 0), *self._pads(x.shape[2:])])
        starts = [w * s for w, s in zip(where, self.window.strides, strict=True)]
        fields = np.empty((len(item), x.shape[1], prod(self.shape[2:])), x.dtype)
        for tap, offset in enumerate(combinations(*map(range, self.shape[2:]))):
            steps = zip(starts, offset, self.window.dilations, strict=True)
            at = [start + k * dilation for start, k, dilation in steps]
            index: tuple[Any, ...] = (item, slice(None), *at)
            fields[:, :, tap] = x[index]
        return fields.reshape(len(item), self.groups, -1)

    def _pads(self, lengths: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return zeros in front of and behind every spatial axis."""
        window, rank = self.window, len(lengths)
        if not window.auto_pad.startswith("SAME"):
            return list(zip(window.pads[:rank], window.pads[rank:], strict=True))
        found = []
        for k, length in enumerate(lengths):
            reach = (self.shape[2 + k] - 1) * window.dilations[k] + 1
            needed = (-(-length // window.strides[k]) - 1) * window.strides[k] + reach - length
            less = max(0, needed) // 2
            more = max(0, needed) - less
            found.append((less, more) if window.auto_pad == "SAME_UPPER" else (more, less))
        return found

    def outputs(self, y: Array, places: Places) -> Array:
        """Read all channels at the places."""
        item, *where = places
        index: tuple[Any, ...] = (item, slice(None), *where)
        values: Array = y[index]
        return values.reshape(len(item), self.groups, -1)

    def matrix(self, weight: Array) -> Array:
        """Lay channels and kernel out as features."""
        seen = self.weight.seen(weight)
        return seen.reshape(self.groups, self.shape[0] // self.groups, -1)

    def stored(self, matrix: Array) -> Array:
        """Undo :meth:`matrix`."""
        return self.weight.held(matrix.reshape(self.shape))

    def positions(self) -> IntArray:
        """Return the channel of every feature."""
        inside = np.repeat(np.arange(self.shape[1]), prod(self.shape[2:]))
        return np.arange(self.groups)[:, None] * self.shape[1] + inside
