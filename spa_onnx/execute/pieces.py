"""Cut a model into consecutive pieces whose weights fit a limit, each a model of its own.

    x ─ A ─ B ─ C ─ y     becomes     x ─ A ─ a   and   a ─ B ─ C ─ y

A node goes to one piece with all of its control-flow bodies. What depends on weights alone (a
transposed or dequantised weight, a Constant) is computed anew in every piece that reads it, so that
only activations are handed on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx

from spa_onnx.graph.tensors import all_graphs, all_tensors, attribute_tensors, captured_names
from spa_onnx.load.store import byte_length, is_external

RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Bernoulli",
        "Multinomial",
    }
)
"""Operators that draw numbers; the proof lets them draw the same in every session."""

HALVES = frozenset({onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16})
WIDE = 4
"""Bytes of a float32 number: what ONNX Runtime computes in on a CPU where a type is narrower."""


def session_bytes(model: onnx.ModelProto) -> int:
    """Return the memory that a model's weights take in a session."""
    return sum(map(_tensor_bytes, all_tensors(model)))


def _tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Return a tensor's bytes; half precision is stored, and computed with as float32."""
    stored = byte_length(tensor) if is_external(tensor) else tensor.ByteSize()
    return stored + (WIDE * math.prod(tensor.dims) if tensor.data_type in HALVES else 0)


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive nodes of a model.

    Attributes:
        nodes: positions in the main graph, those of weight arithmetic included.
        tensors: initializers that they read.
        inputs: activations and graph inputs that they read.
        outputs: what later pieces or the user read of them.
    """

    nodes: tuple[int, ...]
    tensors: frozenset[str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def cut(graph: onnx.GraphProto, limit: int) -> list[Piece]:
    """Return the pieces of a sorted graph, each with weights up to ``limit`` bytes.

    A node whose weights alone are above the limit is a piece of its own.
    """
    stored = _Stored(graph)
    return _pieces(graph, stored, list(_groups(graph, stored, limit)) or [[]])


def cut_before(graph: onnx.GraphProto, outputs: Collection[str]) -> list[Piece]:
    """Return the pieces of a sorted graph that begin with the nodes that make these tensors.

    What comes before the first of them is a piece too, which may have no nodes.
    """
    stored = _Stored(graph)
    groups: list[list[int]] = [[]]
    for k, node in enumerate(graph.node):
        if k not in stored.nodes:
            if any(name in outputs for name in node.output):
                groups.append([])
            groups[-1].append(k)
    return _pieces(graph, stored, groups)


def stored_names(graph: onnx.GraphProto) -> set[str]:
    """Return the tensors of a sorted graph that are stored, or computed of stored ones alone."""
    return set(_Stored(graph).bytes)


def _pieces(graph: onnx.GraphProto, stored: _Stored, groups: Sequence[list[int]]) -> list[Piece]:
    reads = [_ordered(n for k in group for n in stored.reads[k]) for group in groups]
    wanted = [v.name for v in graph.output]
    constants = [n for n in wanted if n in stored.bytes]
    pieces: list[Piece] = []
    for at, group in enumerate(groups):
        last = at == len(groups) - 1
        names = [*reads[at], *(constants if last else [])]
        nodes, tensors = stored.closure(names)
        made = _ordered(n for k in group for n in graph.node[k].output)
        needed = set(wanted).union(*reads[at + 1 :])
        outputs = [n for n in made if n in needed] or list(made)[:1]
        inputs = [n for n in reads[at] if n not in stored.bytes and n not in made]
        pieces.append(
            Piece(
                tuple(sorted(nodes.union(group))),
                frozenset(tensors),
                tuple(inputs),
                (*outputs, *(constants if last else [])),
            )
        )
    return pieces


def piece_model(
    model: onnx.ModelProto, piece: Piece, types: Mapping[str, onnx.TypeProto]
) -> onnx.ModelProto:
    """Return a piece as a model; ``types`` are those of its inputs."""
    whole, made = model.graph, onnx.ModelProto()
    made.ir_version = model.ir_version
    made.opset_import.extend(model.opset_import)
    made.functions.extend(model.functions)
    graph = made.graph
    graph.name = whole.name or "piece"
    graph.node.extend(whole.node[k] for k in piece.nodes)
    graph.initializer.extend(t for t in whole.initializer if t.name in piece.tensors)
    graph.sparse_initializer.extend(
        t for t in whole.sparse_initializer if t.values.name in piece.tensors
    )
    graph.input.extend(v for v in whole.input if v.name in piece.tensors)  # of old versions
    for name in piece.inputs:
        graph.input.add(name=name).type.CopyFrom(types[name])
    declared = {v.name: v for v in whole.output}
    graph.output.extend(declared.get(n) or onnx.ValueInfoProto(name=n) for n in piece.outputs)
    inside = {n for node in graph.node for n in node.output}
    graph.value_info.extend(v for v in whole.value_info if v.name in inside)
    return made


def _groups(graph: onnx.GraphProto, stored: _Stored, limit: int) -> Iterator[list[int]]:
    """Yield positions of nodes, as many in a row as fit the limit."""
    group: list[int] = []
    held: set[str] = set()
    total = 0
    for k, node in enumerate(graph.node):
        if k in stored.nodes:
            continue
        own = sum(map(_tensor_bytes, _inner_tensors(node)))
        needs = stored.needs(stored.reads[k])
        extra = own + sum(stored.bytes[n] for n in needs - held)
        if group and total + extra > limit:
            yield group
            group, held, total = [], set(), 0
            extra = own + sum(stored.bytes[n] for n in needs)
        group.append(k)
        held |= needs
        total += extra
    if group:
        yield group


def _inner_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    """Yield the tensors that a node carries, in its bodies too."""
    yield from attribute_tensors(node)
    for body in _bodies(node):
        for graph in all_graphs(body):
            yield from graph.initializer
            for inner in graph.node:
                yield from attribute_tensors(inner)


def _bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    single = [a.g for a in node.attribute if a.HasField("g")]
    return single + [g for a in node.attribute for g in a.graphs]


def _ordered(names: Iterator[str]) -> dict[str, None]:
    return dict.fromkeys(filter(None, names))


class _Stored:
    """What a graph knows without inputs: its weights, and what it computes of them alone.

    Attributes:
        bytes: memory in a session, by name.
        nodes: positions of the nodes that compute with weights alone.
        reads: names that each node reads, its bodies included.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self.bytes = {t.name: _tensor_bytes(t) for t in graph.initializer}
        self.bytes |= {t.values.name: t.ByteSize() for t in graph.sparse_initializer}
        self._elements = {t.name: math.prod(t.dims) for t in graph.initializer}
        self._makers: dict[str, int] = {}
        self.nodes: set[int] = set()
        self.reads: list[list[str]] = []
        for k, node in enumerate(graph.node):
            bodies = _bodies(node)
            captured = [n for body in bodies for n in sorted(captured_names(body))]
            self.reads.append([*filter(None, node.input), *captured])
            if bodies or node.op_type in RANDOM:
                continue
            if all(n in self.bytes for n in self.reads[k]):
                self._compute(k, node)

    def _compute(self, position: int, node: onnx.NodeProto) -> None:
        """Note a node of weight arithmetic; its results may be as wide as float32."""
        carried = list(attribute_tensors(node))
        counts = [self._elements.get(n, 0) for n in self.reads[position]]
        counts += [math.prod(t.dims) for t in carried]
        self.nodes.add(position)
        for name in filter(None, node.output):
            self._makers[name] = position
            self._elements[name] = max(counts, default=0)
            self.bytes[name] = WIDE * self._elements[name] + sum(map(_tensor_bytes, carried))

    def closure(self, names: Sequence[str]) -> tuple[set[int], set[str]]:
        """Return the nodes and the initializers that make the stored ones of ``names``."""
        nodes, tensors, waiting = set[int](), set[str](), list(names)
        while waiting:
            name = waiting.pop()
            if name not in self.bytes:
                continue
            maker = self._makers.get(name)
            if maker is None:
                tensors.add(name)
            elif maker not in nodes:
                nodes.add(maker)
                waiting += self.reads[maker]
        return nodes, tensors

    def needs(self, names: Sequence[str]) -> set[str]:
        """Return everything stored or computed of weights that ``names`` bring with them."""
        nodes, tensors = self.closure(names)
        return tensors.union(*(self._graph.node[k].output for k in nodes)) - {""}
