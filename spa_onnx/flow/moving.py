"""Operators that move numbers: the flow moves with them.

Axes along which the flow is constant stay of length one, unless an axis with lanes is made of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import numpy as np

from spa_onnx.algebra.size import Polynomial, Size, product
from spa_onnx.flow.spot import BlockedError, Edge, Spot, number
from spa_onnx.flow.values import FloatArray, Flow

LARGEST = 1 << 26
"""Numbers above which the flow at one tensor is not followed."""


def transpose(spot: Spot) -> Iterator[Edge]:
    """Exchange axes."""
    rank = len(spot.shape(spot.name(0)))
    order = spot.node.ints("perm") or list(range(rank))[::-1]
    back = [int(k) for k in np.argsort(order)]
    yield spot.linear(0, lambda x: x.transpose(order), lambda g: g.transpose(back))


def reshape(spot: Spot) -> Iterator[Edge]:
    """Follow each group of axes that becomes a group of others, in row-major order.

    Where the flow is constant along all of a group, it is along what becomes of them.
    """
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    held = flow.values.shape
    before, after = spot.shape(spot.name(0)), spot.shape(spot.node.outputs[0])
    full, made = list(held), [1] * len(after)
    for a, b in _groups(before, after):
        if all(held[k] == 1 for k in a):
            continue  # constant, so it does not matter how many there are
        for k in a:
            full[k] = number(before[k])
        for k in b:
            made[k] = number(after[k])
    if prod(full) > LARGEST or prod(full) != prod(made):
        raise BlockedError
    yield spot.linear(
        0, lambda x: np.broadcast_to(x, full).reshape(made), lambda g: g.reshape(full)
    )


def _groups(before: Sequence[Size], after: Sequence[Size]) -> Iterator[tuple[range, range]]:
    """Yield the smallest groups of axes that hold equally many numbers, at last what is left."""
    i = j = 0
    while i < len(before) or j < len(after):
        ends = [(a, b) for a in range(i, len(before) + 1) for b in range(j, len(after) + 1)]
        ends.sort(key=sum)
        fits = (e for e in ends[1:] if product(before[i : e[0]]) == product(after[j : e[1]]))
        a, b = next(fits, (len(before), len(after)))
        yield range(i, a), range(j, b)
        i, j = a, b


def expand(spot: Spot) -> Iterator[Edge]:
    """Copy along axes: the flow is constant there, and has new axes in front."""
    rank = len(spot.shape(spot.node.outputs[0]))
    yield spot.linear(0, lambda x: x.reshape((1,) * (rank - x.ndim) + x.shape), lambda g: g)


def tile(spot: Spot) -> Iterator[Edge]:
    """Repeat axes along which the flow is not constant."""
    flow, repeats = spot.flow(0), spot.integers(1, "")
    if flow is None or repeats is None:
        raise BlockedError
    held = flow.values.shape
    times = [n if length > 1 else 1 for n, length in zip(repeats, held, strict=True)]
    apart = [n for pair in zip(times, held, strict=True) for n in pair]
    over = tuple(range(0, 2 * len(held), 2))
    yield spot.linear(0, lambda x: np.tile(x, times), lambda g: g.reshape(apart).sum(axis=over))


def pad(spot: Spot) -> Iterator[Edge]:
    """Add zeros along axes along which the flow is not constant; borders are ignored."""
    flow, amounts = spot.flow(0), spot.integers(1, "pads")
    if flow is None or amounts is None:
        raise BlockedError
    rank = flow.values.ndim
    named = spot.integers(3, "") or list(range(rank))
    front, behind = np.zeros(rank, np.int64), np.zeros(rank, np.int64)
    for k, axis in enumerate(named):
        front[axis], behind[axis] = amounts[k], amounts[k + len(named)]
    wide = [n > 1 for n in flow.values.shape]
    if any(n < 0 for n, w in zip((*front, *behind), wide * 2, strict=True) if w):
        raise BlockedError
    pads = [(int(f), int(b)) if w else (0, 0) for f, b, w in zip(front, behind, wide, strict=True)]
    inside = tuple(slice(f, f + n) for (f, _), n in zip(pads, flow.values.shape, strict=True))
    yield spot.linear(0, lambda x: np.pad(x, pads), lambda g: g[inside])


def slices(spot: Spot) -> Iterator[Edge]:
    """Take parts of axes; of a constant one any part is the same."""
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    held = flow.values.shape
    cut = [axis for axis in _sliced_axes(spot, len(held)) if held[axis] > 1]
    if not cut:
        yield spot.identity(0)
        return
    starts, ends = spot.integers(1, "starts"), spot.integers(2, "ends")
    if starts is None or ends is None or len(cut) > 1:
        raise BlockedError
    steps = spot.integers(4, "steps") or [1] * len(starts)
    k = _sliced_axes(spot, len(held)).index(cut[0])
    places = np.arange(held[cut[0]])[slice(starts[k], ends[k], steps[k])]
    yield spot.picked(0, cut[0], places)


def _sliced_axes(spot: Spot, rank: int) -> list[int]:
    axes = spot.integers(3, "axes")
    if axes is None:
        size = product(spot.shape(spot.name(1))) if spot.name(1) else len(spot.node.ints("starts"))
        axes = list(range(number(size)))
    return [axis % rank for axis in axes]


def split(spot: Spot) -> Iterator[Edge]:
    """Hand the parts of an axis to the outputs."""
    axis = spot.node.integer("axis", 0) % len(spot.shape(spot.name(0)))
    flow = spot.flow(0)
    start = 0
    for k, name in enumerate(spot.node.outputs):
        if flow is not None and flow.values.shape[axis] == 1:
            yield spot.identity(0, k)
            continue
        stop = start + spot.length(name, axis)
        yield spot.picked(0, axis, np.arange(start, stop), k)
        start = stop


def gather(spot: Spot) -> Iterator[Edge]:
    """Look rows up: constant ones of an activation, or unknown ones of a stored table.

    Which rows of a table are read is not known, so it gives their mean. Of rows that are all alike
    any are the same.
    """
    flow = spot.flow(0)
    if flow is None:
        yield _of_table(spot)
        return
    axis = spot.node.integer("axis", 0) % flow.values.ndim
    shape: tuple[int, ...] = (1,) * len(spot.shape(spot.name(1)))
    places = np.zeros(1, np.int64)
    if flow.values.shape[axis] > 1:
        places = np.array(spot.integers(1, ""), np.int64)
        shape = tuple(map(number, spot.shape(spot.name(1))))
    taken = spot.picked(0, axis, places)
    row = taken.flow.values.shape
    made = row[:axis] + shape + row[axis + 1 :]
    yield Edge(
        taken.source,
        taken.target,
        Flow(taken.flow.values.reshape(made), taken.flow.exponent),
        lambda g: taken.pull(Flow(g.values.reshape(row), g.exponent)),
    )


def _of_table(spot: Spot) -> Edge:
    table, rank = spot.constant(0), len(spot.shape(spot.node.outputs[0]))
    if table is None or spot.node.integer("axis", 0) != 0:
        raise BlockedError
    mean = table.mean(axis=0)
    made = mean.reshape((1,) * (rank - mean.ndim) + mean.shape)
    return Edge("", spot.node.outputs[0], Flow.of(made), lambda g: g)


def concat(spot: Spot) -> Iterator[Edge]:
    """Lay inputs end to end; what is constant along the axis gives its share of a mean instead.

    Stored parts bring no flow, as they depend on no input.
    """
    names = [name for name in spot.node.inputs if name]
    given = [k for k, name in enumerate(names) if name in spot.flows]
    if not given:
        raise BlockedError
    axis = spot.node.integer("axis", 1) % len(spot.shape(names[given[0]]))
    flows = [spot.flows[names[k]] for k in given]
    if all(flow.values.shape[axis] == 1 for flow in flows):
        yield from _mean_of_parts(spot, names, given, axis)
        return
    lengths = [spot.length(name, axis) for name in names]
    for k in given:
        start = sum(lengths[:k])
        part = _Part(axis, start, lengths[k], sum(lengths))
        yield spot.linear(k, part.place, part.cut)


def _mean_of_parts(
    spot: Spot, names: Sequence[str], given: Sequence[int], axis: int
) -> Iterator[Edge]:
    """Average parts by their lengths; a dynamic length makes all count the same."""
    sizes = [spot.shape(names[k])[axis] for k in given]
    known = [1 if any(isinstance(s, Polynomial) for s in sizes) else number(s) for s in sizes]
    for k, size in zip(given, known, strict=True):
        scale = partial(np.multiply, size / max(1, sum(known)))
        yield spot.linear(k, scale, scale)


@dataclass(frozen=True, slots=True)
class _Part:
    """Where one input of a concatenation lies."""

    axis: int
    start: int
    length: int
    total: int

    def place(self, x: FloatArray) -> FloatArray:
        """Return the whole axis with zeros for the other inputs."""
        pads = [(0, 0)] * x.ndim
        pads[self.axis] = (self.start, self.total - self.start - self.length)
        shape = list(x.shape)
        shape[self.axis] = self.length
        return np.pad(np.broadcast_to(x, shape), pads)

    def cut(self, g: FloatArray) -> FloatArray:
        """Return this input's part."""
        return g.take(range(self.start, self.start + self.length), self.axis)


def to_depth(spot: Spot) -> Iterator[Edge]:
    """Copy channels for every position of a block, SpaceToDepth."""
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    channels = flow.values.shape[1]
    yield spot.picked(0, 1, np.tile(np.arange(channels), spot.node.integer("blocksize", 1) ** 2))


def to_space(spot: Spot) -> Iterator[Edge]:
    """Average the channels that become positions of one channel, DepthToSpace."""
    flow = spot.flow(0)
    if flow is None:
        raise BlockedError
    if flow.values.shape[1] == 1:
        yield spot.identity(0)
        return
    block = spot.node.integer("blocksize", 1) ** 2
    channels, rest = flow.values.shape[1] // block, flow.values.shape[2:]
    first = spot.node.text("mode", "DCR") == "DCR"
    apart = (-1, block, channels, *rest) if first else (-1, channels, block, *rest)
    axis = 1 if first else 2

    def back(g: FloatArray) -> FloatArray:
        shape = list(np.reshape(flow.values, apart).shape)
        return np.broadcast_to(np.expand_dims(g, axis), shape).reshape(flow.values.shape) / block

    yield spot.linear(0, lambda x: x.reshape(apart).mean(axis=axis), back)
