"""Second moments of both sides of products of activations, and the lanes that they sum over.

Entries of a batch that hold the same lanes (a head in all items) are one *group*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, Expr, IntArray, dims_in, size_of
from spa_onnx.algebra.size import Polynomial, evaluate, terms_of
from spa_onnx.analyse.dims import Analysis, PrunableDim
from spa_onnx.calibrate.collect import FLOAT_BYTES, items_of
from spa_onnx.execute.feeds import symbols_in
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.batches import Batches
from spa_onnx.layers.pairing import Pairing, Side, lane_axis, pairings_of
from spa_onnx.load.store import WeightStore
from spa_onnx.plan.lanes import KeptLanes

FloatArray = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(slots=True)
class SideMoments:
    """Sums of one side.

    Attributes:
        gram: sums of products, ``(groups, lanes, lanes)``.
        counts: rows of each group.
    """

    gram: FloatArray
    counts: FloatArray

    @property
    def second(self) -> FloatArray:
        """Return second moments, ``(groups, lanes, lanes)``."""
        mean: FloatArray = self.gram / np.maximum(self.counts, 1)[:, None, None]
        return mean

    @staticmethod
    def empty(lanes: int) -> SideMoments:
        """Return nothing yet, of one group."""
        return SideMoments(np.zeros((1, lanes, lanes)), np.zeros(1))

    @staticmethod
    def joined(parts: Sequence[SideMoments]) -> SideMoments:
        """Return groups one after another."""
        grams, counts = [p.gram for p in parts], [p.counts for p in parts]
        return SideMoments(np.concatenate(grams), np.concatenate(counts))


@dataclass(frozen=True, slots=True)
class PairSums:
    """What is known of a pairing.

    Attributes:
        units: of a dim by group and lane, -1 for none, ``(groups, lanes)``.
        left: moments of the left side.
        right: moments of the right side.
    """

    units: IntArray
    left: SideMoments
    right: SideMoments


@dataclass(slots=True)
class PairMoments:
    """Second moments of the products that sum over dims, collected when they are asked for.

    Attributes:
        analysis: the dims.
        model: skeleton of the dense model.
        weights: where its weights lie.
        batches: the inputs.
        memory: bytes that moments may take at once; of pairings above it nothing is known.
        session_memory: bytes that weights may take in one session.
        observer: told how many items of a run are done, of how many.
    """

    analysis: Analysis
    model: onnx.ModelProto
    weights: WeightStore
    batches: Batches
    memory: int
    session_memory: int
    observer: Callable[[int, int], None] | None = None
    _by_dim: dict[Dim, list[Pairing]] = field(default_factory=dict)
    _found: dict[tuple[str, Dim], PairSums | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        state = self.analysis.propagation
        prunable = {d.dim for d in self.analysis.dims}
        for pairing in pairings_of(state):
            for side in pairing.sides:
                axis = lane_axis(side, state.axes_of(pairing.source(side)) or ())
                if isinstance(size_of(axis), Polynomial):
                    continue  # a length that inputs decide
                for dim in dims_in(axis):
                    held = self._by_dim.setdefault(dim, [])
                    if dim in prunable and pairing not in held:
                        held.append(pairing)

    def pairings(self, dim: PrunableDim) -> list[Pairing]:
        """Return the products of activations that sum over a dim."""
        return self._by_dim.get(dim.dim, [])

    def of(self, dim: PrunableDim) -> list[PairSums]:
        """Return what is known of the products that sum over a dim."""
        keys = [(pairing.name, dim.dim) for pairing in self.pairings(dim)]
        if any(key not in self._found for key in keys):
            self._collect(dim)
        return [found for key in keys if (found := self._found[key]) is not None]

    def _collect(self, first: PrunableDim) -> None:
        """Run over all batches for a dim and for as many behind it as fit."""
        self._found.clear()
        chosen = dict[tuple[str, Dim], tuple[Pairing, PrunableDim]]()
        room = self.memory
        dims = self.analysis.dims
        for dim in dims[dims.index(first) :]:
            for pairing in self.pairings(dim):
                needed = self._bytes(pairing)
                if needed > self.memory:
                    self._found[pairing.name, dim.dim] = None
                    continue
                room -= needed
                if room >= 0 or dim is first:
                    chosen[pairing.name, dim.dim] = pairing, dim
        self._run(chosen)

    def _bytes(self, pairing: Pairing) -> int:
        """Return about how much memory the moments of a pairing take: groups are lanes of dims."""
        state, side = self.analysis.propagation, pairing.left
        axes = state.axes_of(pairing.source(side)) or ()
        lanes = evaluate(size_of(lane_axis(side, axes)), {})
        others = prod(d.size for e in axes for d in dims_in(e)) // lanes
        return 2 * FLOAT_BYTES * max(1, others) * lanes**2

    def _run(self, chosen: Mapping[tuple[str, Dim], tuple[Pairing, PrunableDim]]) -> None:
        if not chosen:
            return
        self._found |= dict.fromkeys(chosen)
        names = sorted({p.source(s) for p, _ in chosen.values() for s in p.sides})
        fed = {entry.name for entry in self.model.graph.input}
        made = [name for name in names if name not in fed]
        session = open_session(
            self.model, self.weights, made, memory=self.session_memory, short=bool(made)
        )
        adders = {key: _Adder(self.analysis, *pair) for key, pair in chosen.items()}
        done = 0
        for feeds in self.batches:
            values = dict(zip(made, session.run(made, feeds) if made else [], strict=True))
            values |= {name: np.asarray(feeds[name]) for name in names if name in fed}
            symbols = symbols_in(self.analysis.propagation, feeds)
            for adder in adders.values():
                adder.add(values, symbols)
            done += items_of(feeds)
            if self.observer is not None:
                self.observer(done, self.batches.samples)
        self._found |= {key: adder.sums() for key, adder in adders.items()}


@dataclass(slots=True)
class _Adder:
    """Adds up what one pairing shows of one dim.

    Attributes:
        lost: lanes could not be told apart, so nothing is known.
    """

    analysis: Analysis
    pairing: Pairing
    dim: PrunableDim
    lost: bool = False
    _sums: dict[tuple[int, ...], tuple[SideMoments, SideMoments]] = field(default_factory=dict)

    def add(self, values: Mapping[str, Array], symbols: Mapping[str, int]) -> None:
        """Add one batch; an entry with a number that is not finite is left out."""
        seen = [side.seen(values[self.pairing.source(side)]) for side in self.pairing.sides]
        batch = np.broadcast_shapes(*(x.shape[:-2] for x in seen))
        keys = []
        for side in self.pairing.sides:
            found = self._keys(side, values[self.pairing.source(side)].shape, symbols)
            if found is None:
                self.lost = True
                return
            keys.append(np.broadcast_to(found, (*batch, found.shape[-1])))
        joined = np.maximum(*keys).reshape(-1, keys[0].shape[-1])
        grams = [_grams(np.broadcast_to(x, (*batch, *x.shape[-2:]))) for x in seen]
        lanes = seen[0].shape[-1]
        for k, key in enumerate(map(tuple, joined.tolist())):
            if key not in self._sums:
                self._sums[key] = SideMoments.empty(lanes), SideMoments.empty(lanes)
            if all(np.isfinite(gram[k]).all() for gram in grams):
                for held, gram, x in zip(self._sums[key], grams, seen, strict=True):
                    held.gram[0] += gram[k]
                    held.counts[0] += x.shape[-2]

    def _keys(
        self, side: Side, shape: tuple[int, ...], symbols: Mapping[str, int]
    ) -> IntArray | None:
        """Return for each entry of the batch its place and the units of its lanes.

        Shape ``(*batch, 1 + lanes)``. None where they are unknown or differ from row to row.
        """
        state = self.analysis.propagation
        axes = state.axes_of(self.pairing.source(side)) or ()
        kept = KeptLanes(state.space, {}, symbols)
        ones = [1] * len(shape)
        lane, row, place = np.full(ones, -1), np.zeros(ones, np.int64), np.zeros(ones, np.int64)
        for k, e in enumerate(axes):
            if not dims_in(e):
                continue
            if not _is_bound(e, symbols):
                return None
            form = [n if j == k else 1 for j, n in enumerate(shape)]
            inside = kept.lanes_by_position(e)
            for (dim, _), column in inside.items():
                if dim is self.dim.dim:
                    lane = np.maximum(lane, column.reshape(form))
                elif (self.dim.dim, 0) not in inside:
                    place = place * (dim.size + 1) + column.reshape(form) + 1
                if dim is self.dim.rows:
                    row = row + np.maximum(column, 0).reshape(form)
        units = np.where(lane < 0, -1, row * self.dim.dim.size + lane)
        units, place = (side.seen(np.broadcast_to(x, shape)) for x in (units, place))
        if (units != units[..., :1, :]).any():
            return None
        pooled = (place != place[..., :1, :1]).any()
        first = np.full_like(place[..., 0, :1], -1) if pooled else place[..., 0, :1]
        return np.concatenate([first, units[..., 0, :]], axis=-1)

    def sums(self) -> PairSums | None:
        """Return what was added; None where nothing is known."""
        if self.lost or not self._sums:
            return None
        units = np.array(list(self._sums), np.int64)[:, 1:]
        left, right = zip(*self._sums.values(), strict=True)
        return PairSums(units, SideMoments.joined(left), SideMoments.joined(right))


def _grams(x: Array) -> FloatArray:
    """Return ``(entries, lanes, lanes)`` sums of products over the rows of each entry."""
    flat = x.reshape(-1, *x.shape[-2:])
    wide = flat if flat.dtype == np.float64 else flat.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        grams: FloatArray = (wide.transpose(0, 2, 1) @ wide).astype(np.float64)
    return grams


def _is_bound(expr: Expr, symbols: Mapping[str, int]) -> bool:
    """Say whether the length of an axis is known."""
    names = {n for monomial, _ in terms_of(size_of(expr)) for n in monomial}
    return names <= set(symbols)
