"""Patterns of zeros in a layer's weight that kernels can use.

    unstructured   single weights
    block:4x1      blocks of 4 neighbouring outputs by 1 input
    block:1x16     blocks of 1 output by 16 neighbouring inputs
    2:4            2 of every 4 neighbouring inputs stay, output by output

Inputs of a convolution are neighbours when their channels are and they belong to the same tap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import IntArray
from spa_onnx.errors import UsageError

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]

UNSTRUCTURED = "unstructured"
MOST = 64
"""Largest side of a block."""

BLOCK = re.compile(r"(?:block:)?(\d{1,3})x(\d{1,3})")
SOME_OF_MANY = re.compile(r"(\d{1,3}):(\d{1,3})")


@dataclass(frozen=True, slots=True)
class Pattern:
    """What stays or goes together.

    Attributes:
        outputs: outputs of a block.
        inputs: inputs of a block.
        kept: inputs of every block that stay, chosen for each output; 0 where whole blocks go.
    """

    outputs: int = 1
    inputs: int = 1
    kept: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.outputs <= MOST and 1 <= self.inputs <= MOST):
            raise UsageError(f"pattern {self}: sides of a block are 1 to {MOST}")
        if self.kept and not (self.outputs == 1 and self.kept < self.inputs):
            raise UsageError(f"pattern {self}: fewer than all of {self.inputs} inputs may stay")

    def __str__(self) -> str:
        if self.kept:
            return f"{self.kept}:{self.inputs}"
        return UNSTRUCTURED if self.outputs == self.inputs == 1 else f"{self.outputs}x{self.inputs}"

    @property
    def sparsity(self) -> float | None:
        """Return the share of weights that goes, where the pattern says it."""
        return 1 - self.kept / self.inputs if self.kept else None

    def mask(self, worth: FloatArray, order: IntArray, sparsity: float) -> BoolArray:
        """Return what stays of a weight: the patterns' best, as many as the sparsity leaves.

        Args:
            worth: of every weight, ``(groups, outputs, features)``, not negative.
            order: features of each group in the order in which they are neighbours, with -1 between
                those that are none, ``(groups, places)``; see :func:`neighbours`.
            sparsity: share of the weights that goes; patterns that say it themselves ignore it.
        """
        if self.kept:
            return self._some_of_many(worth, order)
        tiles, counts = self._tiles(worth, order)
        total = int(counts.sum())
        target = round((1 - sparsity) * total)
        loss = -(tiles / np.maximum(counts, 1)).reshape(-1)
        stays = np.zeros(tiles.size, bool)
        size = int(counts.flat[0])
        if (counts == size).all():
            best = target // size
            if best:
                stays[np.argpartition(loss, best - 1)[:best]] = True
        else:
            ranked = np.argsort(loss, kind="stable")
            covered = np.cumsum(counts.reshape(-1)[ranked])
            stays[ranked[: int(np.searchsorted(covered, target, "right"))]] = True
        return self._spread(stays.reshape(tiles.shape), worth.shape, order)

    def _tiles(self, worth: FloatArray, order: IntArray) -> tuple[FloatArray, IntArray]:
        """Return worth and number of weights of every block, ``(groups, rows, columns)``."""
        arranged = self._arranged(worth, order)
        inside = self._arranged(np.ones_like(worth), order)
        return self._summed(arranged), self._summed(inside).astype(np.int64)

    def _arranged(self, values: FloatArray, order: IntArray) -> FloatArray:
        """Return numbers of weights in the order of places, zeros added up to whole blocks."""
        rows, columns = -values.shape[1] % self.outputs, -order.shape[1] % self.inputs
        picked = np.take_along_axis(values, np.maximum(order, 0)[:, None], axis=2)
        picked = np.where(order[:, None] >= 0, picked, 0.0)
        return np.pad(picked, ((0, 0), (0, rows), (0, columns)))

    def _summed(self, arranged: FloatArray) -> FloatArray:
        groups, rows, columns = arranged.shape
        split = (groups, rows // self.outputs, self.outputs, columns // self.inputs, self.inputs)
        summed: FloatArray = arranged.reshape(split).sum(axis=(2, 4))
        return summed

    def _spread(self, stays: BoolArray, shape: tuple[int, ...], order: IntArray) -> BoolArray:
        """Return for every weight whether its block stays."""
        wide = stays.repeat(self.outputs, axis=1).repeat(self.inputs, axis=2)
        return _back(wide[:, : shape[1], : order.shape[1]], shape, order)

    def _some_of_many(self, worth: FloatArray, order: IntArray) -> BoolArray:
        arranged = self._arranged(worth + 1.0, order)  # what is not there is worth least
        blocks = arranged.reshape(*arranged.shape[:2], -1, self.inputs)
        best = np.argsort(-blocks, axis=3, kind="stable")[..., : self.kept]
        stays = np.zeros(blocks.shape, bool)
        np.put_along_axis(stays, best, True, axis=3)
        wide = stays.reshape(arranged.shape)
        return _back(wide[:, :, : order.shape[1]], worth.shape, order)


def _back(wide: BoolArray, shape: tuple[int, ...], order: IntArray) -> BoolArray:
    """Return numbers by place as numbers by feature."""
    made = np.zeros(shape, bool)
    for group, places in enumerate(order):
        there = places >= 0
        made[group][:, places[there]] = wide[group][:, there]
    return made


def parse_pattern(text: str) -> Pattern:
    """Return the pattern of a name.

    Raises:
        UsageError: it is none.
    """
    if text == UNSTRUCTURED:
        return Pattern()
    if found := BLOCK.fullmatch(text):
        return Pattern(int(found[1]), int(found[2]))
    if found := SOME_OF_MANY.fullmatch(text):
        if not int(found[1]):
            raise UsageError(f"pattern {text!r}: something must stay")
        return Pattern(1, int(found[2]), int(found[1]))
    raise UsageError(f"pattern {text!r} is none of {UNSTRUCTURED}, block:PxQ and N:M")


def neighbours(positions: IntArray, width: int) -> IntArray:
    """Return features in the order in which they are neighbours, ``(groups, places)``.

    ``positions`` are channels of features, ``(groups, features)``. The n-th features of all
    channels belong to the same tap; behind the features of a tap stand so many -1 that the next
    tap's begin at a multiple of ``width``.
    """
    return np.stack([_in_order(channels, width) for channels in positions])


def _in_order(channels: IntArray, width: int) -> IntArray:
    by_channel = np.argsort(channels, kind="stable")
    ordered = channels[by_channel]
    first = np.searchsorted(ordered, ordered, "left")
    taps = np.empty_like(by_channel)
    taps[by_channel] = np.arange(len(channels)) - first
    rows = []
    for tap in range(int(taps.max(initial=-1)) + 1):
        inside = np.flatnonzero(taps == tap)
        inside = inside[np.argsort(channels[inside], kind="stable")]
        rows.append(np.pad(inside, (0, -len(inside) % width), constant_values=-1))
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)
