"""What one node does to one lane, seen in ONNX Runtime: nothing of the library's rules is used.

A node is run alone on the values that it meets in its graph. One lane of a dim is disturbed in one
input, and the elements of the outputs that change are compared with those that hold the lane.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_onnx.algebra.expression import Axes, Dim, Expr, dims_in
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.graph.node import Node
from spa_onnx.graph.shapes import SEQUENCES
from spa_onnx.ops.rule import Coupling
from spa_onnx.ops.rules import RULES
from tests.graph_writer import AnyArray
from tests.onnx_runs import random_feeds, run
from tests.spa_onnx.algebra.enumeration import positions

Values = Mapping[str, AnyArray]


def every_value(model: onnx.ModelProto) -> dict[str, AnyArray]:
    """Run a model and return all of its tensors by name; sequences are none."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    tensors = [node for node in model.graph.node if node.op_type not in SEQUENCES]
    names = [name for node in tensors for name in node.output if name]
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    feeds = random_feeds(model)
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    return {**feeds, **weights, **dict(zip(names, run(exposed, feeds), strict=True))}


@dataclass(frozen=True)
class Disturbance:
    """One lane of one input of a node."""

    node: Node
    input: int
    dim: Dim
    lane: int

    def __str__(self) -> str:
        return f"lane {self.lane} of {self.dim.name} in input {self.input} of {self.node.label}"


def disturbances(
    state: Propagation, node: Node, coupling: Coupling, values: Values
) -> Iterator[Disturbance]:
    """Yield a lane of every dim of every input that the node's rule calls lanewise."""
    mixed = {
        dim
        for m in coupling.mixed
        for k in m.axes
        for dim in dims_in((state.axes_of(node.inputs[m.input]) or ())[k])
    }
    size_inputs = RULES[node.op].size_inputs
    for k, name in enumerate(node.inputs):
        if not name or values[name].dtype.kind != "f" or k in size_inputs:
            continue
        free = dict.fromkeys(d for e in state.axes_of(name) or () for d in dims_in(e))
        for number, dim in enumerate(d for d in free if d not in mixed):
            yield Disturbance(node, k, dim, (number * 3 + 1) % dim.size)


def holders(state: Propagation, axes: Axes, dim: Dim, lane: int) -> AnyArray:
    """Return which elements of a tensor belong to a lane, or to one coupled with it."""
    labels = state.space.orbits(dim)
    lanes = {lane} if labels is None else set(np.flatnonzero(labels == labels[lane]).tolist())

    def holds(expr: Expr) -> AnyArray:
        found = positions(state.space, expr)
        return np.array([any((dim.index, k) in p for k in lanes) for p in found])

    result: AnyArray = np.zeros([1] * len(axes), bool)
    for axis, expr in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = -1
        result = result | holds(expr).reshape(shape)
    return result


def changed(
    model: onnx.ModelProto, values: Values, disturbance: Disturbance, where: AnyArray
) -> list[AnyArray]:
    """Return for every output of the node which elements change with the disturbed lane."""
    node = disturbance.node
    before = _run_alone(model, node, values)
    name = node.inputs[disturbance.input]
    noise = np.where(where, np.random.default_rng(1).uniform(0.05, 0.2, values[name].shape), 0)
    disturbed = {**values, name: (values[name] + noise).astype(values[name].dtype)}
    after = _run_alone(model, node, disturbed)
    return [~_same(a, b) for a, b in zip(before, after, strict=True)]


def _same(a: AnyArray, b: AnyArray) -> AnyArray:
    if a.dtype.kind != "f":
        return np.asarray(a == b)
    return np.isclose(a, b, rtol=1e-5, atol=1e-6)


def _run_alone(model: onnx.ModelProto, node: Node, values: Values) -> list[AnyArray]:
    weights = [numpy_helper.from_array(values[n], n) for n in dict.fromkeys(node.inputs) if n]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.outputs if name]
    graph = helper.make_graph([node.proto], "alone", [], outputs, weights)
    alone = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=max(4, model.ir_version)
    )
    return run(alone, {})
