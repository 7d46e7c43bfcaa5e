"""Which convolutions are lowered together: a minimum cut through the graph.

The runtime computes convolutions in a blocked layout of its own; ours read and write plain planes.
Where the two meet, the runtime changes the layout of the tensor in between. So each node is put on
one side, and the sum of what nodes take there and what changes take is the least there is::

    source = blocked ── what the node takes plain ── node ── what it takes blocked ── plain = sink
    node ── change of layout ── node

Source of the method: Greig, Porteous and Seheult, Journal of the Royal Statistical Society B 51
(1989), 271-279.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

PER_MICROSECOND = 1000
"""Capacities are whole nanoseconds: sums of floats make a cut inexact."""


@dataclass(frozen=True, slots=True)
class Part:
    """A node, or several that run as one.

    Attributes:
        name: tells it from others.
        reads: tensors.
        makes: tensors.
        blocked: microseconds in the runtime's layout; None where it has no kernel for that.
        plain: microseconds on plain planes; None where it has none for that.
        free_reads: tensors that it reads in either layout without a change.
    """

    name: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    blocked: float | None
    plain: float | None
    free_reads: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Change:
    """Microseconds that a tensor's change of layout takes.

    Attributes:
        into: the blocked one.
        back: from it.
    """

    into: float
    back: float


def plain_parts(
    parts: Sequence[Part],
    changes: Mapping[str, Change],
    ends: Iterable[str],
) -> set[str]:
    """Return the names of the parts that are best run on plain planes.

    Args:
        parts: of the graph; a tensor that none makes is an input, and plain.
        changes: of tensors; those that are not there have none, as they have no planes.
        ends: tensors that must be plain in the end.
    """
    graph: Any = nx.DiGraph()
    graph.add_nodes_from((BLOCKED, PLAIN))
    made_by = {tensor: part.name for part in parts for tensor in part.makes}
    for part in parts:
        node = (part.name,)
        _bound(graph, BLOCKED, node, part.plain)
        _bound(graph, node, PLAIN, part.blocked)
    readers: dict[str, list[Any]] = {name: [PLAIN] for name in ends}
    for part in parts:
        for tensor in part.reads:
            if tensor not in part.free_reads:
                readers.setdefault(tensor, []).append((part.name,))
    for tensor, nodes in readers.items():
        if tensor in changes:
            maker = (made_by[tensor],) if tensor in made_by else PLAIN
            _border(graph, tensor, maker, nodes, changes[tensor])
    _, (_, plain) = nx.minimum_cut(graph, BLOCKED, PLAIN)
    return {part.name for part in parts if (part.name,) in plain}


BLOCKED, PLAIN = "blocked", "plain"


def _bound(graph: Any, start: Any, end: Any, microseconds: float | None) -> None:
    """Let a cut between two nodes cost so much; None is more than anything."""
    if microseconds is None:
        graph.add_edge(start, end)  # no capacity: infinite
    else:
        graph.add_edge(start, end, capacity=_capacity(microseconds))


def _border(graph: Any, tensor: str, maker: Any, readers: Sequence[Any], change: Change) -> None:
    """Let a tensor's change cost once, however many of its readers want it.

    One node in between is plain as soon as one reader is, another is blocked as soon as one is.
    """
    back, into = ("back", tensor), ("into", tensor)
    graph.add_edge(maker, back, capacity=_capacity(change.back))
    graph.add_edge(into, maker, capacity=_capacity(change.into))
    for reader in readers:
        graph.add_edge(back, reader)
        graph.add_edge(reader, into)


def _capacity(microseconds: float) -> int:
    return max(0, round(microseconds * PER_MICROSECOND))
