"""One pass over the graph in topological order: every node's rule builds its outputs' axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Expr, sizes_of
from spa_onnx.algebra.size import Size
from spa_onnx.algebra.space import Space
from spa_onnx.analyse import control
from spa_onnx.analyse.lane_numbers import chosen_axes, fix_numbers, follow_numbers
from spa_onnx.analyse.lengths import followed
from spa_onnx.analyse.shuffles import Shuffle, find_shuffle
from spa_onnx.graph.node import BodyEntry, Node
from spa_onnx.graph.shapes import declared_shape, infer, tensor_type
from spa_onnx.graph.tensors import captured_names
from spa_onnx.normalise.graph import CONTROL_FLOW, Graph
from spa_onnx.ops.rule import Coupling, OpRule, RefusalError, replaced
from spa_onnx.ops.rules import RULES
from spa_onnx.ops.values import LARGEST, Value, evaluate, is_symbolic

InputShapes = Mapping[str, tuple[int, ...]]

INTERFACE = "its shape is part of the model's interface"
"""Why inputs and outputs stay as they are."""

QUANTISED = ("int8", "uint8")
"""Integers that count as weights: shapes and positions have more bits."""


@dataclass(slots=True)
class Propagation:
    """Everything that one pass found.

    Attributes:
        graph: the graph that was walked.
        rigid: labels of nodes whose axes stay whole.
        space: the solved dims.
        axes: tensor name -> axes; None where the rank is unknown.
        values: small tensors known before run time, symbols included.
        weights: tensors that depend on initializers only.
        numbers: tensors whose values are lane numbers -> the axis that they count along.
        selected: weights that lane numbers chose, such as those of the best experts -> the axes
            that were chosen from.
        couplings: what each node said, in node order; None where its axes were fixed.
        sources: for every entry of a known value the axes whose lengths it was computed from.
        generated: constant tensors that the graph itself fills; old exporters make weights so.
        refusals: labels of nodes whose axes could not be followed -> why.
        unknown_ops: operators without a rule -> labels of their nodes.
        shuffles: channel shuffles that were met.
        permuted: every node of a shuffle that was followed lane by lane.
    """

    graph: Graph
    rigid: frozenset[str] = frozenset()
    space: Space = field(default_factory=Space)
    axes: dict[str, Axes | None] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    sources: dict[str, list[Axes]] = field(default_factory=dict)
    weights: set[str] = field(default_factory=set)
    numbers: dict[str, Expr] = field(default_factory=dict)
    selected: dict[str, Axes] = field(default_factory=dict)
    couplings: list[Coupling | None] = field(default_factory=list)
    generated: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    unknown_ops: dict[str, list[str]] = field(default_factory=dict)
    shuffles: list[Shuffle] = field(default_factory=list)
    permuted: dict[Node, Shuffle] = field(default_factory=dict)

    def axes_of(self, name: str) -> Axes | None:
        """Return a tensor's axes in normal form; initializers get dims when first asked for."""
        if name not in self.axes and name in self.graph.tensors:
            dims = self.graph.tensors[name].dims
            self.axes[name] = tuple(self.space.dim(n, f"{name}:{k}") for k, n in enumerate(dims))
        axes = self.axes.get(name)
        return None if axes is None else tuple(map(self.space.normal, axes))

    def all_axes(self) -> Iterable[Axes]:
        """Return the axes of all tensors, equal ones once."""
        found: dict[Axes, None] = {}
        for name in self.axes:
            axes = self.axes_of(name)
            if axes:
                found[axes] = None
        return found

    def value_of(self, name: str) -> Value | None:
        """Return small known contents: shape arithmetic, integer constants and scalars."""
        if name in self.values:
            return self.values[name]
        tensor = self.graph.tensors.get(name)
        if tensor is None or tensor.data_type == onnx.TensorProto.STRING:
            return None
        if np.prod(tensor.dims, dtype=np.float64) > LARGEST:
            return None
        array = self.graph.array(name)
        if array.size != 1 and (array.dtype.kind not in "iub" or array.dtype.name in QUANTISED):
            return None
        self.values[name] = array
        return array

    def fix_sources(self, name: str, why: str) -> None:
        """Fix the axes whose lengths a value was computed from."""
        for axes in self.sources.get(name, []):
            self.space.fix_all(axes, why)

    def follow_shuffle(self, shuffle: Shuffle) -> None:
        """Let the result of a shuffle be its input's lanes in another order."""
        axes = self.axes_of(shuffle.source) or ()
        lanes = self.space.permuted(axes[shuffle.axis], shuffle.order)
        self.axes[shuffle.result] = replaced(axes, {shuffle.axis: lanes})
        for node in shuffle.nodes:
            self.permuted[node] = shuffle
            if node.outputs[0] != shuffle.result:
                self.axes[node.outputs[0]] = None

    def is_weight(self, name: str) -> bool:
        """Say whether a tensor depends on initializers only."""
        return name in self.weights or name in self.graph.tensors


class NodeOperands:
    """Shows a rule the inputs of its node; see :class:`spa_onnx.ops.rule.Operands`."""

    def __init__(self, state: Propagation, node: Node) -> None:
        self.node = node
        self.space = state.space
        self._state = state

    @property
    def count(self) -> int:
        """Return the number of inputs without omitted ones at the end."""
        names = self.node.inputs
        return max((k + 1 for k, name in enumerate(names) if name), default=0)

    def has(self, position: int) -> bool:
        """Say whether the input is given."""
        return position < len(self.node.inputs) and self.node.inputs[position] != ""

    def axes(self, position: int) -> Axes:
        """Return the axes of an input, refusing unknown ranks."""
        if not self.has(position):
            raise RefusalError(f"input {position} is missing")
        axes = self._state.axes_of(self.node.inputs[position])
        if axes is None:
            raise RefusalError(f"the rank of {self.node.inputs[position]!r} is unknown")
        return axes

    def sizes(self, position: int) -> list[Size]:
        """Return an integer input, symbols included."""
        value = self._state.value_of(self.node.inputs[position]) if self.has(position) else None
        if value is None:
            raise RefusalError(f"input {position} is computed at run time")
        return [n if is_symbolic(value) else int(n) for n in value.flat]

    def constant(self, position: int) -> NDArray[Any] | None:
        """Return an input that is known and not symbolic, of any size."""
        if not self.has(position):
            return None
        name = self.node.inputs[position]
        if name in self._state.graph.tensors:
            return self._state.graph.array(name)
        value = self._state.value_of(name)
        return None if value is None or is_symbolic(value) else value

    def is_weight(self, position: int) -> bool:
        """Say whether the input depends on initializers, and at most on which lanes are chosen."""
        if not self.has(position):
            return False
        name = self.node.inputs[position]
        return self._state.is_weight(name) or name in self._state.selected

    def numbers(self, position: int) -> Expr | None:
        """Return the axis whose lane numbers an input holds, if it does."""
        return self._state.numbers.get(self.node.inputs[position]) if self.has(position) else None

    def inferred(self, output: int) -> tuple[Size, ...] | None:
        """Return an output's shape from ONNX shape inference."""
        return infer(self._state.graph.model).shapes.get(self.node.outputs[output])


def propagate(
    graph: Graph,
    input_shapes: InputShapes,
    *,
    rigid: frozenset[str] = frozenset(),
    permute: bool = False,
) -> Propagation:
    """Couple the axes of all tensors of a graph.

    Args:
        graph: in normal form.
        input_shapes: numbers for symbolic inputs; others stay symbols.
        rigid: labels of nodes whose axes stay whole.
        permute: follow channel shuffles lane by lane instead of as factors.
    """
    state = Propagation(graph, rigid=rigid)
    for entry in graph.inputs:
        state.space.where = f"graph input '{entry.name}'"
        state.axes[entry.name] = _input_axes(state.space, entry, input_shapes.get(entry.name))
    for node in graph.nodes:
        state.space.where = node.label
        shuffle = find_shuffle(state, node)
        if shuffle is not None:
            state.shuffles.append(shuffle)
            if permute:
                state.follow_shuffle(shuffle)
        if node in state.permuted:
            fix_numbers(state, node.inputs)
            state.couplings.append(None)
        else:
            state.couplings.append(_visit(state, node))
    for name in graph.outputs:
        state.space.where = f"graph output '{name}'"
        state.space.fix_all(state.axes_of(name) or (), INTERFACE)
        state.fix_sources(name, "its length is an output")
    fix_numbers(state, graph.outputs)
    return state


def _input_axes(
    space: Space, entry: onnx.ValueInfoProto, given: tuple[int, ...] | None
) -> Axes | None:
    if given is None and not tensor_type(entry.type).HasField("shape"):
        return None
    shape = declared_shape(entry) if given is None else given
    return tuple(space.fixed(n, INTERFACE) for n in shape)


def _visit(state: Propagation, node: Node) -> Coupling | None:
    if _evaluate(state, node):
        return None
    if node.op == "If":
        _follow_branch(state, node)
    rule = RULES.get(node.op)
    size_inputs = rule.size_inputs if rule else frozenset[int]()
    _keep_data(state, node, size_inputs)
    coupling = _couple(state, node, rule)
    follow_numbers(state, node, coupling)
    outputs = coupling.outputs if coupling else ()
    for k, name in enumerate(node.outputs):
        if name:
            known = k < len(outputs)
            state.axes[name] = outputs[k] if known else _inferred_axes(state, node, name)
    if node.op == "ConstantOfShape":
        state.generated.append(node.outputs[0])
    if isinstance(node, BodyEntry):
        state.weights.update(
            inner for outer, inner in control.weights_inside(node) if state.is_weight(outer)
        )
    inputs = [name for name in node.inputs if name]
    if inputs and all(map(state.is_weight, inputs)) and not node.bodies():
        state.weights.update(filter(None, node.outputs))
    chosen = chosen_axes(state, node, coupling)
    if chosen:
        state.selected.update(dict.fromkeys(filter(None, node.outputs), chosen))
    return coupling


def _follow_branch(state: Propagation, node: Node) -> None:
    """Let shape arithmetic pass through an If whose condition is known."""
    taken = control.taken_branches(node, state.value_of(node.inputs[0]))
    if len(taken) != 1:
        return
    for name, entry in zip(node.outputs, taken[0].output, strict=False):
        value = state.value_of(entry.name)
        if value is not None and not is_symbolic(value):
            state.values[name] = value


def _evaluate(state: Propagation, node: Node) -> bool:
    """Follow shape arithmetic by value; say whether the node is part of it."""
    shape = None
    if node.op in ("Shape", "Size"):
        axes = state.axes_of(node.inputs[0])
        shape = None if axes is None else sizes_of(axes)
    value = evaluate(node, [state.value_of(n) if n else None for n in node.inputs], shape)
    if value is None or _may_be_weight(node, value):
        return False
    name = node.outputs[0]
    state.values[name] = value
    state.axes[name] = tuple(
        state.space.fixed(n, "computed from lengths and constants") for n in value.shape
    )
    if shape is not None:
        start, end = node.integer("start", 0), node.attributes.get("end")
        measured = (state.axes_of(node.inputs[0]) or ())[start:end]
        state.sources[name] = [(e,) for e in measured] if node.op == "Shape" else [measured]
    else:
        values = [state.value_of(n) if n else None for n in node.inputs]
        given = [state.sources.get(n, []) for n in node.inputs]
        state.sources[name] = followed(node, values, given, value)
        if all(map(state.is_weight, filter(None, node.inputs))):
            state.weights.add(name)
    return True


SHORT = 16
"""Floats up to which a computed vector counts as shape arithmetic: scales and pads, not weights."""


def _may_be_weight(node: Node, value: Value) -> bool:
    """Say whether a known value could be a weight that the graph fills, which may be cut."""
    if value.dtype.kind != "f" or value.size == 1:
        return False
    return value.size > SHORT or node.op in ("ConstantOfShape", "Expand")


def _keep_data(state: Propagation, node: Node, size_inputs: frozenset[int]) -> None:
    """Fix what a dynamic length was computed from when it is used as data.

    A static length used as data (the scale of attention) keeps its original number instead.
    """
    for k, name in enumerate(node.inputs):
        if k not in size_inputs and name in state.values and is_symbolic(state.values[name]):
            state.fix_sources(name, "its length is used as data")


def _couple(state: Propagation, node: Node, rule: OpRule | None) -> Coupling | None:
    if node.label in state.rigid:
        _refuse(state, node, "its run-time shape cannot be corrected")
        return None
    if isinstance(node, BodyEntry) or node.op in CONTROL_FLOW:
        return control.couple(state, node)
    for body in node.bodies():
        for name in captured_names(body):
            state.space.fix_all(state.axes_of(name) or (), "used inside control flow")
            state.fix_sources(name, "used inside control flow")
    if rule is None:
        state.unknown_ops.setdefault(node.op, []).append(node.label)
        _refuse(state, node, "no rule for this operator")
        return None
    try:
        return rule.couple(NodeOperands(state, node))
    except RefusalError as refusal:
        _refuse(state, node, str(refusal))
    except (IndexError, ValueError, TypeError, ArithmeticError) as failure:
        _refuse(state, node, f"its tensors do not fit its specification ({failure})")
    return None


def _refuse(state: Propagation, node: Node, why: str) -> None:
    state.refusals[node.label] = why
    for name in filter(None, node.inputs):
        state.space.fix_all(state.axes_of(name) or (), why)
        state.fix_sources(name, why)


def _inferred_axes(state: Propagation, node: Node, name: str) -> Axes | None:
    shape = infer(state.graph.model).shapes.get(name)
    why = state.refusals.get(node.label, "its axes cannot be followed")
    return None if shape is None else tuple(state.space.fixed(n, why) for n in shape)
