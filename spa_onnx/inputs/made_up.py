"""Inputs made up from a model's own signature, for passes that run the model without data.

Pictures, sequences of ids and signals get the statistics that such inputs have; everything else is
made as for the proof. Lengths and batch sizes are the first that ONNX Runtime accepts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log, prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import sizes_of
from spa_onnx.algebra.size import terms_of
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.config import PROOF_MEMORY
from spa_onnx.errors import CalibrationError, GraphError
from spa_onnx.execute.feeds import input_symbols, make_feeds, symbol_choices, table_rows
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import NotLoadedError, RefusedError, Session
from spa_onnx.inputs.pictures import make_pictures
from spa_onnx.inputs.roles import Role, role_of
from spa_onnx.inputs.scale import BRIGHTEST, fit_scale
from spa_onnx.inputs.signals import make_signals
from spa_onnx.inputs.tokens import make_ids, make_mask, make_positions, make_segments

Feeds = Mapping[str, Any]

NUMBERS = 10_000_000
"""Numbers that all items hold together: 64 pictures of 224 x 224 in colour."""

MOST, LEAST = 512, 16
"""Items, as far as the numbers allow."""

MOST_SEQUENCES = 256
"""Items of a model of tokens, each of which is many samples."""

AT_ONCE, MOST_AT_ONCE = 2_500_000, 128
"""Numbers and items in a batch."""

LENGTHS: Mapping[Role, int] = {"picture": 224, "picture last": 224, "ids": 64}
"""Lengths that are tried first where a model leaves them open."""


@dataclass(frozen=True, slots=True)
class MadeUpBatches:
    """Batches whose inputs need not agree in their first axes.

    Attributes:
        feeds: inputs of every batch; the first of them holds the items on its first axis.
        cut: names of inputs that hold items on a first axis of any length; none where the model
            fixes the size of a batch.
    """

    feeds: Sequence[Feeds]
    cut: frozenset[str]
    origin: str = "made up"

    @property
    def samples(self) -> int:
        """Return the number of items of all batches."""
        return sum(map(_items, self.feeds))

    def __iter__(self) -> Iterator[Feeds]:
        """Yield the batches."""
        return iter(self.feeds)

    def first(self, count: int) -> MadeUpBatches:
        """Return the first ``count`` items, or the fewest batches of a fixed size with them."""
        chosen: list[Feeds] = []
        left = max(1, count)
        for feeds in self.feeds:
            if left <= 0:
                break
            if self.cut and left < _items(feeds):
                feeds = {n: a[:left] if n in self.cut else a for n, a in feeds.items()}
            chosen.append(feeds)
            left -= _items(feeds)
        return MadeUpBatches(chosen, self.cut, self.origin)


def made_up(
    state: Propagation,
    input_shapes: Mapping[str, tuple[int, ...]],
    count: int | None,
    seed: int,
    memory: int = PROOF_MEMORY,
) -> MadeUpBatches:
    """Return inputs for a model, the same for the same seed.

    Args:
        state: the solved graph.
        input_shapes: numbers that the user gave for symbolic inputs.
        count: items; None takes as many as the size of an item suggests.
        seed: of all random numbers.
        memory: bytes that weights may take in the session that tries the inputs.

    Raises:
        CalibrationError: the model runs with none of the inputs that were tried.
    """
    try:
        session = open_session(
            state.graph.model, state.graph.weights, state.graph.outputs, memory=memory
        )
        maker = _first_accepted(session, state, input_shapes, seed)
    except (GraphError, NotLoadedError) as problem:
        raise CalibrationError(f"no inputs can be made up: {problem}") from problem
    feeds = maker.batch(1, 0)
    each = max(1, sum(a.size for a in feeds.values() if isinstance(a, np.ndarray)))
    each = max(1, each // _items(feeds))
    if count is None:
        most = MOST_SEQUENCES if "ids" in maker.roles.values() else MOST
        count = min(most, max(LEAST, NUMBERS // each))
    larger = maker.of_size(min(count, MOST_AT_ONCE, max(1, AT_ONCE // each)))
    if larger is not None and _runs(session, larger.batch(1, 0)):
        maker = larger
    return maker.batches(count)


def _first_accepted(
    session: Session, state: Propagation, input_shapes: Mapping[str, tuple[int, ...]], seed: int
) -> _Maker:
    """Return what makes inputs of the first lengths at which the model runs."""
    choices = list(symbol_choices(state, input_shapes))
    first = _Maker.of(state, choices[0], seed, 1)
    wanted = next((LENGTHS[r] for r in first.roles.values() if r in LENGTHS), 0)
    _, others = input_symbols(state)
    if wanted and others:
        free = next(iter(others))
        choices.sort(key=lambda c: abs(log(max(1, c[free]) / wanted)))
    for symbols in choices:
        for fill in (1, 0):
            maker = _Maker.of(state, symbols, seed, fill)
            if _runs(session, maker.batch(1, 0)):
                return maker
    names = ", ".join(entry.name for entry in state.graph.inputs)
    raise CalibrationError(
        f"the model runs with none of the inputs that were made up for {names}: give calibration "
        "inputs, or sizes with --input-shape"
    )


def _runs(session: Session, feeds: Feeds) -> bool:
    try:
        session.run([], feeds)
    except RefusedError:
        return False
    return True


def _items(feeds: Feeds) -> int:
    main = next(iter(feeds.values()), None)
    return len(main) if main is not None and np.ndim(main) else 1


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes inputs of fixed shapes.

    Attributes:
        state: the solved graph.
        symbols: numbers of its symbolic lengths.
        seed: of all random numbers.
        fill: integers that nothing is known about.
        shapes: of the inputs.
        roles: what the inputs are.
        rows: lengths of tables that inputs index.
    """

    state: Propagation
    symbols: Mapping[str, int]
    seed: int
    fill: int
    shapes: Mapping[str, tuple[int, ...]]
    roles: Mapping[str, Role]
    rows: Mapping[str, int]

    @staticmethod
    def of(state: Propagation, symbols: Mapping[str, int], seed: int, fill: int) -> _Maker:
        """Return the maker for some lengths.

        Raises:
            GraphError: an input is of a kind that cannot be made up.
        """
        feeds = make_feeds(state, symbols, seed, fill)
        rows = table_rows(state)
        arrays = {n: a for n, a in feeds.items() if isinstance(a, np.ndarray)}
        roles: dict[str, Role] = {
            n: role_of(n, a.dtype, a.shape, rows.get(n, 0)) for n, a in arrays.items()
        }
        shapes = {n: a.shape for n, a in arrays.items()}
        return _Maker(state, symbols, seed, fill, shapes, roles, rows)

    def of_size(self, items: int) -> _Maker | None:
        """Return a maker of batches of another size; None where the model fixes it."""
        batches, _ = input_symbols(self.state)
        if not batches:
            return None
        symbols = {**self.symbols, **dict.fromkeys(batches, items)}
        return _Maker.of(self.state, symbols, self.seed, self.fill)

    def batch(self, of: int, number: int) -> Feeds:
        """Return the batch of a number, of so many."""
        return list(self._made(of, number + 1))[number]

    def batches(self, count: int) -> MadeUpBatches:
        """Return batches with at least so many items, and no more than needed."""
        one = self.batch(1, 0)
        feeds = list(self._made(-(-count // _items(one)), None))
        return MadeUpBatches(feeds, self._cut()).first(count)

    def _cut(self) -> frozenset[str]:
        """Return the inputs that hold items on their first axis, if all that hold items do so."""
        batches, _ = input_symbols(self.state)
        found = set()
        for name in self.shapes:
            sizes = sizes_of(self.state.axes[name] or ())
            held = [any(m for m, _ in terms_of(n) if set(m) & set(batches)) for n in sizes]
            if any(held[1:]):
                return frozenset()
            if held and held[0]:
                found.add(name)
        return frozenset(found)

    def _made(self, number: int, upto: int | None) -> Iterator[Feeds]:
        """Yield batches; pictures of all are made together, for their contrasts are compared."""
        pictures = {
            name: self._pictures(name, role, number)
            for name, role in self.roles.items()
            if role in ("picture", "picture last")
        }
        for k in range(number if upto is None else upto):
            feeds: dict[str, Any] = dict(
                make_feeds(self.state, self.symbols, self.seed + k, self.fill)
            )
            rng = np.random.default_rng([self.seed, k])
            for name, role in self.roles.items():
                old = feeds[name]
                new = pictures[name][k] if name in pictures else self._values(name, role, old, rng)
                feeds[name] = new.astype(old.dtype)
            yield {name: feeds[name] for name in self._order(feeds)}

    def _order(self, feeds: Feeds) -> list[str]:
        """Return the inputs, those with a first axis of items before others."""
        batches, _ = input_symbols(self.state)

        def rank(name: str) -> int:
            axes = self.state.axes.get(name) or ()
            if not axes or name not in self.shapes:
                return 2
            is_free = not isinstance(sizes_of(axes)[0], int)
            return 0 if is_free or not batches else 1

        return sorted(feeds, key=rank)

    def _values(
        self, name: str, role: Role, old: NDArray[Any], rng: np.random.Generator
    ) -> NDArray[Any]:
        rows = self.rows.get(name, 0)
        match role:
            case "ids":
                return make_ids(old.shape, rows, rng)
            case "mask":
                return make_mask(old.shape, rng)
            case "positions":
                return make_positions(old.shape, rows)
            case "segments":
                return make_segments(old.shape, rows, rng)
            case "signal":
                made = make_signals(prod(old.shape[:-1]), old.shape[-1], rng)
                return made.reshape(old.shape)
            case _:
                return old

    def _pictures(self, name: str, role: Role, number: int) -> NDArray[Any]:
        """Return ``(batches, *shape)``."""
        shape = self.shapes[name]
        items, *axes = shape if len(shape) == 4 else (1, *shape)
        channels, height, width = axes if role == "picture" else (axes[2], *axes[:2])
        made = make_pictures(number * items, channels, height, width, self.seed)
        if _element(self.state, name) in (onnx.TensorProto.UINT8, onnx.TensorProto.INT32):
            made = np.round(made * np.float32(BRIGHTEST))
        else:
            made = fit_scale(made, self.state, name)
        if role == "picture last":
            made = made.transpose(0, 2, 3, 1)
        return made.reshape(number, *shape)


def _element(state: Propagation, name: str) -> int:
    entry = next(e for e in state.graph.inputs if e.name == name)
    return int(entry.type.tensor_type.elem_type)
