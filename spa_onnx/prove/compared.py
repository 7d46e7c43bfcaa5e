"""Which tensors a proof compares, and which of them rest on choices that rounding may change.

Behind an operator that breaks ties (TopK and the like) two runs agree only as long as both chose
the same. So the choices are compared first, exactly; what lies behind one that differs is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.execute.pieces import RANDOM
from spa_onnx.graph.node import Node
from spa_onnx.graph.shapes import infer
from spa_onnx.plan.lanes import KeptLanes

INNER_TENSORS = 24
"""Inner tensors compared beside the outputs; outputs alone can prove nothing. As many again are
compared behind choices."""

CHOSEN: Mapping[str, slice] = {
    "TopK": slice(1, 2),
    "Unique": slice(1, None),
    "ArgMax": slice(1),
    "ArgMin": slice(1),
    "Hardmax": slice(1),
    "NonMaxSuppression": slice(1),
    "NonZero": slice(1),
}
"""Operators that break ties, and the outputs that say what they chose."""

FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}


@dataclass(frozen=True, slots=True)
class Choice:
    """An operator that breaks ties or draws numbers.

    Attributes:
        label: its name in reports.
        results: tensors that say what it chose; none where it cannot be told.
    """

    label: str
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is compared.

    Attributes:
        names: tensors.
        choices: operators that break ties or draw numbers, and see something of what is cut.
        behind: of a tensor the choices that it rests on, by position; nothing where it has none.
    """

    names: tuple[str, ...]
    choices: tuple[Choice, ...]
    behind: Mapping[str, frozenset[int]]

    @property
    def results(self) -> tuple[str, ...]:
        """Return the tensors that tell what was chosen."""
        return tuple(dict.fromkeys(n for choice in self.choices for n in choice.results))

    def certain(self) -> Selection:
        """Return what rests on no choice."""
        names = tuple(n for n in self.names if n not in self.behind)
        return Selection(names, (), self.behind)

    def blame(self, name: str, agreed: Iterable[int]) -> str | None:
        """Return the first choice behind which a tensor lies that is not among those ``agreed``."""
        apart = sorted(self.behind.get(name, frozenset()).difference(agreed))
        return self.choices[apart[0]].label if apart else None

    def agreed(
        self, state: Propagation, lanes: KeptLanes, values: Mapping[str, Sequence[NDArray[Any]]]
    ) -> set[int]:
        """Return the choices that two runs made alike.

        Args:
            state: tells which numbers are those of lanes.
            lanes: what stays of them.
            values: of every result that of the reference and that of the pruned model.
        """

        def same(name: str) -> bool:
            before, after = values[name]
            return np.array_equal(_renumbered(state, lanes, name, before), after)

        return {k for k, c in enumerate(self.choices) if c.results and all(map(same, c.results))}


def _renumbered(
    state: Propagation, lanes: KeptLanes, name: str, found: NDArray[Any]
) -> NDArray[Any]:
    """Return lane numbers as the pruned model counts, -1 for lanes that it lacks."""
    along = state.numbers.get(name)
    if along is None or not lanes.is_cut(along):
        return found
    renumbered: NDArray[Any] = lanes.positions(along)[found]
    return renumbered


def select(state: Propagation, present: set[str], lanes: KeptLanes) -> Selection:
    """Return what to compare of the tensors that are ``present`` in both models."""
    affected = _affected(state, lanes)
    types = infer(state.graph.model).types
    comparable = {n for n in present if types.get(n) in FLOATS}
    behind: dict[str, frozenset[int]] = {}
    choices: list[Choice] = []
    entering: list[str] = []
    inner: tuple[list[str], list[str]] = ([], [])
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        above = frozenset[int]().union(*(behind.get(n, ()) for n in _read(node)))
        if node.op in CHOSEN.keys() | RANDOM and affected.intersection(
            (*node.inputs, *node.outputs)
        ):
            above |= {len(choices)}
            choices.append(Choice(node.label, _results(node, present)))
            entering += node.inputs[:1] if node.op in CHOSEN else ()
        for name in filter(None, node.outputs):
            if above:
                behind[name] = above
            if coupling is not None and name in comparable and not state.is_weight(name):
                inner[bool(above)].append(name)
    known = set(inner[0]) | set(inner[1])
    wanted = dict.fromkeys(
        [
            *state.graph.outputs,
            *(n for n in entering if n in known),
            *_spread(inner[0]),
            *_spread(inner[1]),
        ]
    )
    told = [bool(choice.results) for choice in choices]
    names = tuple(n for n in wanted if all(told[k] for k in behind.get(n, ())))
    return Selection(names, tuple(choices), behind)


def _read(node: Node) -> list[str]:
    """Return what a node depends on, results of its bodies among them."""
    return [*node.inputs, *(entry.name for body in node.bodies() for entry in body.output)]


def _results(node: Node, present: set[str]) -> tuple[str, ...]:
    """Return the outputs that say what a node chose; none if one of them cannot be had."""
    if node.op not in CHOSEN:
        return ()
    names = [name for name in node.outputs[CHOSEN[node.op]] if name]
    return tuple(names) if all(name in present for name in names) else ()


def _spread(names: Sequence[str]) -> Sequence[str]:
    """Return some tensors from all over a graph, the last among them."""
    return names[::-1][:: max(1, -(-len(names) // INNER_TENSORS))]


def _affected(state: Propagation, lanes: KeptLanes) -> set[str]:
    """Return the tensors that lose lanes or depend on some that do."""
    found = {name for name in state.axes if lanes.is_sliced(state.axes_of(name))}
    for node in state.graph.nodes:
        if found.intersection(node.inputs) or (node.bodies() and found):
            found.update(node.outputs)
    return found
