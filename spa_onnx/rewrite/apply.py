"""Rewrite a model for a plan: every edit follows from expressions and their new lengths.

Weights become payloads, sliced when they are written. Size constants are recomputed and compared
with what the graph would compute by itself at run time; only where these differ is anything
replaced, so dynamic axes stay dynamic and untouched nodes stay untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from spa_onnx.algebra.expression import Dim
from spa_onnx.algebra.select import chosen_again
from spa_onnx.algebra.size import Polynomial, Size, split_coefficient
from spa_onnx.analyse.dims import Analysis
from spa_onnx.analyse.shuffles import Shuffle
from spa_onnx.graph.node import BodyEntry, Node
from spa_onnx.graph.shapes import tensor_type
from spa_onnx.graph.tensors import captured_names
from spa_onnx.load.store import is_external
from spa_onnx.normalise.graph import CONTROL_FLOW, Graph
from spa_onnx.ops.rule import Coupling
from spa_onnx.ops.values import Value, evaluate, is_symbolic, vector
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.rewrite.edit import GraphEditor
from spa_onnx.rewrite.payload import Payload, SlicedTensor, sliced


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A rewritten model whose large tensors are not made yet.

    Attributes:
        model: the new skeleton.
        payloads: data of sliced tensors by name.
        dropped_nodes: shape arithmetic that constants replaced.
    """

    model: onnx.ModelProto
    payloads: Mapping[str, Payload]
    dropped_nodes: tuple[str, ...]


class CannotResizeError(Exception):
    """A run-time shape cannot be corrected; the axes of its node must stay whole.

    Attributes:
        node: label of the node.
    """

    def __init__(self, node: str) -> None:
        super().__init__(node)
        self.node = node


def rewrite(analysis: Analysis, kept: Mapping[Dim, Kept]) -> Rewritten:
    """Return the model with only the kept lanes; the analysed graph stays as it is.

    Raises:
        CannotResizeError: a shape that is computed at run time has no correction.
    """
    model = onnx.ModelProto()
    model.CopyFrom(analysis.propagation.graph.model)
    lanes = KeptLanes(analysis.propagation.space, kept)
    editor = GraphEditor(model)
    _SizeRewriter(analysis, lanes, editor).run()
    payloads = _slice_tensors(analysis, lanes, editor)
    _merge_twins(analysis, editor)
    for graph in editor.graphs.values():
        _update_shapes(analysis, lanes, graph)
    return Rewritten(model, payloads, editor.finish())


def _slice_tensors(
    analysis: Analysis, lanes: KeptLanes, editor: GraphEditor
) -> dict[str, SlicedTensor]:
    state, payloads = analysis.propagation, dict[str, SlicedTensor]()
    nodes = (n for graph in editor.graphs.values() for n in graph.node)
    constants = {n.output[0]: n for n in nodes if n.op_type == "Constant"}
    for name in state.graph.tensors:
        axes = state.axes_of(name) if name in state.axes else None
        if axes is None or not lanes.is_sliced(axes):
            continue
        tensor, payload = sliced(state.graph, name, axes, lanes)
        if payload is not None:
            payloads[name] = payload
        if name in constants:
            del constants[name].attribute[:]
            constants[name].attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(
                tensor
            )
        else:
            editor.replace_initializer(name, tensor)
    return payloads


def _merge_twins(analysis: Analysis, editor: GraphEditor) -> None:
    """Let uses of a constant share it again where all of them keep as many lanes.

    Split constants hold one value, or are so short that equal slices are rare.
    """
    state = analysis.propagation
    graph = editor.model.graph
    tensors = {t.name: t for t in graph.initializer}
    same = {
        twin: original
        for twin, original in state.graph.twins.items()
        if twin in tensors
        and original in tensors
        and _content(tensors[twin], state.graph) == _content(tensors[original], state.graph)
    }
    for node in graph.node:
        for k, name in enumerate(node.input):
            if name in same:
                node.input[k] = same[name]


def _content(tensor: onnx.TensorProto, graph: Graph) -> tuple[object, ...]:
    """Return what makes two constants equal: shape and data, of one-valued payloads the value."""
    data: bytes = tensor.raw_data
    if is_external(tensor):
        array = graph.array(tensor.name).reshape(-1)
        data = array[:1].tobytes() if bool((array == array[:1]).all()) else tensor.name.encode()
    return (
        tuple(tensor.dims),
        tensor.data_type,
        data,
        tuple(tensor.float_data),
        tuple(tensor.int64_data),
    )


def _update_shapes(analysis: Analysis, lanes: KeptLanes, graph: onnx.GraphProto) -> None:
    """Give declared shapes their new lengths; those of the model's own interface never change.

    Declarations that were wrong before are put right where lanes are cut: ONNX Runtime plans its
    memory by them.
    """
    state = analysis.propagation
    for entry in (*graph.value_info, *graph.input, *graph.output):
        axes = state.axes_of(entry.name) if entry.name in state.axes else None
        if axes is None or not lanes.is_sliced(axes) or not tensor_type(entry.type).elem_type:
            continue
        shape = tensor_type(entry.type).shape
        if len(shape.dim) != len(axes):
            del shape.dim[:]
            shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in axes)
        for e, declared in zip(axes, shape.dim, strict=True):
            length = lanes.length(e)
            if isinstance(length, int):
                declared.dim_value = length
            elif declared.HasField("dim_value"):
                declared.Clear()


class _SizeRewriter:
    """Walks the nodes in order, knowing what shape arithmetic yields in the new graph."""

    def __init__(self, analysis: Analysis, lanes: KeptLanes, editor: GraphEditor) -> None:
        self._state = analysis.propagation
        self._lanes, self._editor = lanes, editor
        self._values: dict[str, Value | None] = {}

    def run(self) -> None:
        for node, coupling in zip(self._state.graph.nodes, self._state.couplings, strict=True):
            if isinstance(node, BodyEntry):
                continue
            if node in self._state.permuted:
                self._reorder(node, self._state.permuted[node])
            elif coupling is None and node.outputs and node.outputs[0] in self._state.values:
                self._values[node.outputs[0]] = self._evaluate(node)
            else:
                self._resize(node, coupling)
        for name in self._state.graph.outputs:
            if name in self._values and not _same(self._values[name], self._state.values[name]):
                raise CannotResizeError(f"graph output {name!r}")

    def _value(self, name: str) -> Value | None:
        """Return a tensor's value in the new graph; constants as they were."""
        if name in self._values:
            return self._values[name]
        return self._state.value_of(name) if name else None

    def _evaluate(self, node: Node) -> Value | None:
        shape = None
        if node.op in ("Shape", "Size"):
            axes = self._state.axes_of(node.inputs[0])
            shape = None if axes is None else [self._lanes.length(e) for e in axes]
        return evaluate(node, [self._value(n) for n in node.inputs], shape)

    def _resize(self, node: Node, coupling: Coupling | None) -> None:
        wanted: dict[int, Value] = {}
        if coupling is not None and coupling.resize is not None:
            resized = coupling.resize(self._lanes)
            for name, number in resized.attributes.items():
                absent = list[int]() if number == [] else None
                if number != node.attributes.get(name, absent):
                    self._editor.set_attribute(node, name, number)
            for position, entries in resized.inputs.items():
                wanted[position] = (
                    entries if isinstance(entries, np.ndarray) else vector(list(entries))
                )
        for position, name in enumerate(node.inputs):
            if name in self._values and position not in wanted:
                wanted[position] = self._state.values[name]
        for body_name in self._captured(node):
            if not _same(self._values[body_name], self._state.values[body_name]):
                raise CannotResizeError(node.label)
        for position, value in wanted.items():
            self._require(node, position, value)

    def _reorder(self, node: Node, shuffle: Shuffle) -> None:
        """Replace a shuffle whose lanes are cut by one Gather, in place of its last node."""
        source, result = (
            (self._state.axes_of(name) or ())[shuffle.axis]
            for name in (shuffle.source, shuffle.result)
        )
        if node is not shuffle.nodes[-1] or not self._lanes.is_cut(source):
            return
        order = chosen_again(self._lanes, source, result, shuffle.order)
        self._editor.become_gather(node, shuffle.source, order, shuffle.axis)

    def _captured(self, node: Node) -> set[str]:
        if not node.bodies() or node.op in CONTROL_FLOW:
            return set()
        return set().union(*map(captured_names, node.bodies())) & self._values.keys()

    def _require(self, node: Node, position: int, wanted: Value) -> None:
        """Make sure that an input holds ``wanted`` in the new graph."""
        given = position < len(node.inputs) and node.inputs[position] != ""
        current = self._value(node.inputs[position]) if given else None
        if current is None and given and node.inputs[position] in self._state.graph.tensors:
            current = self._state.graph.array(node.inputs[position])
        if current is not None:
            if wanted.size == current.size and wanted.dtype.kind in "iuO":
                wanted = wanted.reshape(current.shape)
            if _same(current, wanted):
                return
        if is_symbolic(wanted):
            self._patch(node, position, current, wanted)
            return
        dtype = np.int64 if current is None or current.dtype == object else current.dtype
        self._editor.set_input(node, position, wanted.astype(dtype))

    def _patch(self, node: Node, position: int, current: Value | None, wanted: Value) -> None:
        """Correct a run-time shape: scale what is proportional, replace what is static.

        shape ─ Mul(n) ─ Div(d) ─ Where(static?, constant, .) ─ node
        """
        entries, now = list(wanted.flat), [] if current is None else list(current.flat)
        symbolic = [k for k, n in enumerate(entries) if isinstance(n, Polynomial)]
        wrong = [k for k in symbolic if k >= len(now) or now[k] != entries[k]]
        if node.op == "Reshape" and len(symbolic) == 1 and -1 not in entries:
            rest: list[Size] = [-1 if k in symbolic else n for k, n in enumerate(entries)]
            self._editor.set_input(node, position, vector(rest))
            return
        if len(now) != len(entries):
            raise CannotResizeError(node.label)
        name = node.inputs[position]
        made = f"{node.outputs[0]}/shape"
        ratios = [
            _ratio(now[k], entries[k], node) if k in wrong else (1, 1) for k in range(len(now))
        ]
        for op, numbers in (("Mul", [r[0] for r in ratios]), ("Div", [r[1] for r in ratios])):
            if any(n != 1 for n in numbers):
                by = self._editor.add_constant(f"{made}/{op.lower()}", np.array(numbers, np.int64))
                name = self._editor.insert_before(node, op, [name, by], made)
        static = [not isinstance(n, Polynomial) for n in entries]
        if any(s and now[k] != entries[k] for k, s in enumerate(static)):
            mask = self._editor.add_constant(f"{made}/static", np.array(static))
            numbers = [n if isinstance(n, int) else 0 for n in entries]
            constant = self._editor.add_constant(f"{made}/lengths", np.array(numbers, np.int64))
            name = self._editor.insert_before(node, "Where", [mask, constant, name], made)
        self._editor.connect(node, position, name)


def _ratio(now: Size, wanted: Size, node: Node) -> tuple[int, int]:
    a, b = split_coefficient(now), split_coefficient(wanted)
    if a[1] != b[1]:
        raise CannotResizeError(node.label)
    return b[0], a[0]


def _same(a: Value | None, b: Value | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return (
        bool(np.array_equal(a, b))
        if a.dtype != object and b.dtype != object
        else list(a.flat) == list(b.flat)
    )
