"""The normal form: an ordered list of nodes, tensors by name, inputs told from weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.errors import GraphError
from spa_onnx.graph.node import STANDARD_DOMAINS, BodyEntry, Node, Scope
from spa_onnx.graph.tensors import captured_names
from spa_onnx.load.model import LoadedModel
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.bodies import check_bodies
from spa_onnx.normalise.names import make_names_unique
from spa_onnx.normalise.order import sort_nodes


@dataclass(slots=True)
class Graph:
    """A model's main graph with the bodies of its control flow, ready to be analysed.

    Names are unique over all of them, so a tensor is known by its name alone.

    Attributes:
        model: the skeleton; the rewriter works on a copy.
        nodes: operators in topological order; Constant nodes are among ``tensors`` instead.
        tensors: initializers and Constant nodes' values by name.
        inputs: what the user feeds, without initializers that old exporters list as inputs.
        outputs: names of the graph's outputs.
        weights: reads tensors.
        twins: new name -> original name of initializers that were split per use.
        captured: names that are read by more than the inputs of ``nodes``: as results of
            control flow, and by bodies that are not walked.
    """

    model: onnx.ModelProto
    nodes: list[Node]
    tensors: dict[str, onnx.TensorProto]
    inputs: list[onnx.ValueInfoProto]
    outputs: list[str]
    weights: WeightStore
    twins: dict[str, str]
    captured: set[str]
    _arrays: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    _latest: tuple[str, NDArray[np.generic]] | None = None
    _readers: dict[str, list[Node]] = field(default_factory=dict)

    @property
    def standard_version(self) -> int:
        """Return the opset of the standard operators."""
        versions = {o.domain: o.version for o in self.model.opset_import}
        return next((versions[d] for d in STANDARD_DOMAINS if d in versions), 1)

    def only_consumer(self, node: Node, op: str) -> Node | None:
        """Return the node that alone reads ``node``'s first output, if it is an ``op``."""
        if not self._readers:
            for reader in self.nodes:
                for name in reader.inputs:
                    self._readers.setdefault(name, []).append(reader)
        output = node.outputs[0]
        readers = self._readers.get(output, [])
        hidden = output in self.captured or output in self.outputs
        alone = len(readers) == 1 and not hidden and readers[0].op == op
        return readers[0] if alone and readers[0].inputs[0] == output else None

    def array(self, name: str) -> NDArray[np.generic]:
        """Return an initializer's values; small ones are kept, of large ones only the latest."""
        if name in self._arrays:
            return self._arrays[name]
        if self._latest is None or self._latest[0] != name:
            self._latest = (name, self.weights.array(self.tensors[name]))
        array = self._latest[1]
        if array.nbytes <= SMALL_ARRAY:
            self._arrays[name] = array
        return array


SMALL_ARRAY = 1 << 16
"""Bytes up to which a read initializer is kept."""


def normalise(loaded: LoadedModel) -> Graph:
    """Return the model's graph in normal form.

    Raises:
        GraphError: a name is missing or made twice, or nodes depend on each other in a circle.
    """
    model = onnx.ModelProto()
    model.CopyFrom(loaded.skeleton)
    sort_nodes(model)
    make_names_unique(model.graph)
    tensors = {t.name: t for t in model.graph.initializer}
    captured = {name for proto in model.graph.node for name in _captured(proto)}
    twins = _split_shared(model.graph, tensors, loaded.weights, captured)
    flat = _Flattened({o.domain: o.version for o in model.opset_import}, tensors)
    flat.add(model.graph, ())
    inputs = [v for v in model.graph.input if v.name not in tensors]
    outputs = [v.name for v in model.graph.output]
    graph = Graph(model, flat.nodes, tensors, inputs, outputs, loaded.weights, twins, flat.hidden)
    _check_order(graph)
    return graph


CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
"""Operators whose bodies are walked with the graph around them."""


class _Flattened:
    """Nodes of a graph and of its control flow, in an order in which all inputs exist."""

    def __init__(self, versions: dict[str, int], tensors: dict[str, onnx.TensorProto]) -> None:
        self.nodes: list[Node] = []
        self.hidden: set[str] = set()
        self._tensors, self._versions = tensors, versions
        self._standard = next((versions[d] for d in STANDARD_DOMAINS if d in versions), 1)

    def add(self, graph: onnx.GraphProto, scope: Scope) -> None:
        """Append a graph's nodes, the bodies of control flow before the node that runs them."""
        self._tensors.update((t.name, t) for t in graph.initializer)
        for index, proto in enumerate(graph.node):
            standard = proto.domain in STANDARD_DOMAINS
            if standard and proto.op_type == "Constant":
                tensor = _constant(proto)
                if tensor is not None:
                    self._tensors[proto.output[0]] = tensor
                    continue
            version = self._standard if standard else self._versions.get(proto.domain, 1)
            node = Node(proto, version, index, scope)
            if node.op in CONTROL_FLOW:
                check_bodies(node)
                for name, body in node.branches():
                    if node.op != "If":
                        self.nodes.append(BodyEntry(node, body))
                    self.add(body, (*scope, (index, name)))
                    self.hidden.update(v.name for v in body.output)
            else:
                self.hidden |= _captured(proto)
            self.nodes.append(node)


def _captured(proto: onnx.NodeProto) -> set[str]:
    bodies = (
        Node(proto, 1, 0).bodies() if any(a.g.node or a.graphs for a in proto.attribute) else []
    )
    return set().union(*map(captured_names, bodies))


def _constant(proto: onnx.NodeProto) -> onnx.TensorProto | None:
    """Return a Constant node's value; None for strings and sparse tensors, which stay nodes."""
    for attribute in proto.attribute:
        if attribute.name == "value":
            value: onnx.TensorProto = attribute.t
            return value
        if attribute.name in ("value_int", "value_ints"):
            return numpy_helper.from_array(
                np.array(helper.get_attribute_value(attribute), np.int64)
            )
        if attribute.name in ("value_float", "value_floats"):
            return numpy_helper.from_array(
                np.array(helper.get_attribute_value(attribute), np.float32)
            )
    return None


SMALL_VECTOR = 9
"""Elements under which a shared vector counts as coincidence, not as a tied weight."""


def _split_shared(
    graph: onnx.GraphProto,
    tensors: dict[str, onnx.TensorProto],
    weights: WeightStore,
    captured: set[str],
) -> dict[str, str]:
    """Give every use of a merged constant a tensor of its own; genuinely tied weights stay tied.

        zeros ─┬─ Conv ─         zeros ──── Conv ─
               └─ Conv ─   ->    zeros/2 ── Conv ─

    Exporters merge identical tensors, so one all-zero bias may serve twenty unrelated layers. The
    rewriter merges twins again that come out equal.
    """
    uses = Counter(name for node in graph.node for name in node.input if name in tensors)
    outputs = {v.name for v in graph.output}
    shared = {
        name
        for name, count in uses.items()
        if count > 1 and name not in captured | outputs and _is_coincidence(tensors[name], weights)
    }
    twins: dict[str, str] = {}
    seen: Counter[str] = Counter()
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name not in shared:
                continue
            seen[name] += 1
            if seen[name] == 1:
                continue
            twin = graph.initializer.add()
            twin.CopyFrom(tensors[name])
            twin.name = f"{name}/use{seen[name]}"
            while twin.name in tensors:
                twin.name += "_"
            tensors[twin.name] = twin
            twins[twin.name] = name
            node.input[k] = twin.name
    return twins


def _is_coincidence(tensor: onnx.TensorProto, weights: WeightStore) -> bool:
    if tensor.data_type == onnx.TensorProto.STRING or np.prod(tensor.dims, dtype=np.int64) < 2:
        return False
    short = len(tensor.dims) == 1 and tensor.dims[0] < SMALL_VECTOR
    return short or weights.is_uniform(tensor)


def _check_order(graph: Graph) -> None:
    known = {v.name for v in graph.inputs} | set(graph.tensors)
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in known:
                problem = f"input {name!r} is made by no node, initializer or graph input"
                raise GraphError(node.label, problem, "Repair the graph, see onnx.checker")
        for name in filter(None, node.outputs):
            known.add(name)
    for name in graph.outputs:
        if name not in known:
            raise GraphError("graph", f"output {name!r} is made by no node", "Repair the graph")
