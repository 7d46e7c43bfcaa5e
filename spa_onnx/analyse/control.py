"""Control flow: equations across the border of a body for all that is carried over it.

    If:    results of both branches are equal
    Loop:  a state goes into the body and comes out of it with the same axes
    Scan:  likewise; scanned tensors lose the scanned axis inside

A body sees tensors around it by name, so captured weights need no equation.

Source: ONNX If-21, Loop-21, Scan-21 (states and scanned tensors as since Scan-9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import onnx

from spa_onnx.algebra.expression import Axes, size_of, sizes_of
from spa_onnx.algebra.size import Size, symbol
from spa_onnx.algebra.space import Space
from spa_onnx.algebra.unify import equate
from spa_onnx.graph.node import BodyEntry, Node
from spa_onnx.graph.shapes import declared_shape, infer
from spa_onnx.graph.tensors import all_graphs
from spa_onnx.normalise.graph import Graph
from spa_onnx.ops.rule import Coupling
from spa_onnx.ops.values import Value, is_symbolic


class Walk(Protocol):
    """What control flow needs of the walk over the graph."""

    graph: Graph
    space: Space

    def axes_of(self, name: str) -> Axes | None:
        """Return a tensor's axes."""
        ...

    def value_of(self, name: str) -> Value | None:
        """Return small known contents."""
        ...

    def fix_sources(self, name: str, why: str) -> None:
        """Fix the axes whose lengths a value was computed from."""
        ...


def couple(state: Walk, node: Node) -> Coupling:
    """Return the axes of what a body receives, or of what its node returns."""
    if isinstance(node, BodyEntry):
        return Coupling(tuple(_entering(state, node)))
    for _, body in node.branches():
        for entry in body.output:
            state.fix_sources(entry.name, "its length is the result of control flow")
    if node.op == "If":
        return Coupling(tuple(_branches(state, node)))
    return Coupling(tuple(_leaving(state, node)))


def _entering(state: Walk, entry: BodyEntry) -> Iterator[Axes | None]:
    """Yield the axes of a body's inputs."""
    if entry.op == "body of Loop":
        yield ()
        yield ()
        for name in entry.inputs[2:]:
            yield state.axes_of(name)
        return
    states = _scan_states(entry)
    for position, name in enumerate(entry.inputs):
        axes = state.axes_of(name)
        if position < states or axes is None:
            yield axes
            continue
        scanned = _scanned_axis(entry, position - states) % len(axes)
        state.space.fix(axes[scanned], "scanned along")
        yield axes[:scanned] + axes[scanned + 1 :]


def weights_inside(entry: BodyEntry) -> Iterator[tuple[str, str]]:
    """Yield outer and inner names of all that is a weight in a body if it is one outside.

    A state that never changes, and what a Scan hands over slice by slice: stacked layers.
    """
    yield from unchanged_states(entry)
    if entry.op == "body of Scan":
        first = _scan_states(entry)
        inner = (v.name for v in entry.body.input[first:])
        yield from zip(entry.inputs[first:], inner, strict=True)


def unchanged_states(entry: BodyEntry) -> Iterator[tuple[str, str]]:
    """Yield outer and inner names of states that a body hands back as it got them.

    Exporters carry weights into loops that way.
    """
    body = entry.body
    loop = entry.op == "body of Loop"
    copies = {n.output[0]: n.input[0] for n in body.node if n.op_type == "Identity"}
    states = len(entry.inputs) - 2 if loop else _scan_states(entry)
    for k in range(states):
        inner = body.input[k + 2 if loop else k].name
        returned = body.output[k + 1 if loop else k].name
        if copies.get(returned, returned) == inner:
            yield entry.inputs[k + 2 if loop else k], inner


def _scan_states(node: Node) -> int:
    return len(node.inputs) - node.integer("num_scan_inputs", 0)


def _scanned_axis(node: Node, position: int) -> int:
    axes = node.ints("scan_input_axes")
    return axes[position] if position < len(axes) else 0


def _leaving(state: Walk, node: Node) -> Iterator[Axes | None]:
    """Yield the axes of results; states must leave a body as they entered it."""
    ((_, body),) = node.branches()
    loop = node.op == "Loop"
    carried = len(node.inputs) - 2 if loop else _scan_states(node)
    returned = body.output[1:] if loop else body.output
    received = body.input[2:] if loop else body.input
    for position, name in enumerate(node.outputs):
        inside = state.axes_of(returned[position].name)
        if position >= carried:
            yield _stacked(state, node, position - carried, inside, name)
            continue
        before = state.axes_of(received[position].name)
        if before is None or inside is None or sizes_of(before) != sizes_of(inside):
            _fix_body(state, body)
            yield _declared(state, name, returned[position])
            continue
        for e, f in zip(before, inside, strict=True):
            equate(state.space, e, f, "state of a loop")
        yield tuple(map(state.space.normal, before))


def _stacked(state: Walk, node: Node, position: int, axes: Axes | None, name: str) -> Axes | None:
    """Return the axes of results that are stacked run by run."""
    if axes is None:
        return None
    runs = state.space.fixed(_runs(state, node, name), "stacked run by run")
    where = node.ints("scan_output_axes")
    at = where[position] % (len(axes) + 1) if position < len(where) else 0
    return (*axes[:at], runs, *axes[at:])


def _runs(state: Walk, node: Node, name: str) -> Size:
    """Return how often a body runs: as often as the scanned axis is long; unknown for a Loop."""
    if node.op == "Scan":
        states = _scan_states(node)
        axes = state.axes_of(node.inputs[states]) if states < len(node.inputs) else None
        if axes is not None:
            return size_of(axes[_scanned_axis(node, 0) % len(axes)])
    return symbol(f"runs of {name}")


def _fix_body(state: Walk, body: onnx.GraphProto) -> None:
    """Fix all that a body touches: where a state changes shape, nothing in it is as seen."""
    for graph in all_graphs(body):
        for node in graph.node:
            _fix_tensors(state, (*node.input, *node.output))


def _fix_tensors(state: Walk, names: Iterable[str]) -> None:
    for name in names:
        state.space.fix_all(state.axes_of(name) or (), "a state of a loop changes its shape")


def _declared(state: Walk, name: str, entry: onnx.ValueInfoProto) -> Axes | None:
    shape = infer(state.graph.model).shapes.get(name)
    if shape is None and entry.type.tensor_type.HasField("shape"):
        shape = declared_shape(entry)
    why = "branches or rounds give it different axes"
    return None if shape is None else tuple(state.space.fixed(n, why) for n in shape)


def taken_branches(node: Node, condition: Value | None) -> list[onnx.GraphProto]:
    """Return the branches of an If that can be taken: one where the condition is known."""
    if condition is None or is_symbolic(condition):
        return [body for _, body in node.branches()]
    taken = "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"
    return [body for label, body in node.branches() if label == taken]


def _branches(state: Walk, node: Node) -> Iterator[Axes | None]:
    """Yield the axes of an If's results, equal in all branches that can be taken."""
    taken = taken_branches(node, state.value_of(node.inputs[0]))
    for position, name in enumerate(node.outputs):
        given = [body.output[position] for body in taken]
        axes = [state.axes_of(entry.name) for entry in given]
        known = [a for a in axes if a is not None]
        if len(known) < len(given) or len({len(a) for a in known}) > 1:
            for a in known:
                state.space.fix_all(a, "branches give tensors of different or unknown rank")
            yield _declared(state, name, onnx.ValueInfoProto())
            continue
        for other in known[1:]:
            for e, f in zip(known[0], other, strict=True):
                equate(state.space, e, f, "results of two branches")
        yield tuple(map(state.space.normal, known[0]))
