"""Small models with one thing wrong: a lost attribute, another length, an input elsewhere."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

ODD = (-(2**63), -7, -1, 0, 1, 3, 1000, 2**31, 2**62)
"""Numbers that a file may hold where a length, an axis or a count is meant."""


def damaged(model: onnx.ModelProto, random: np.random.Generator) -> onnx.ModelProto:
    """Return a copy of a model with one random defect; it may still be valid."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kinds = (_attribute, _lost_attribute, _inputs, _lost_input, _shape, _constant, _operator)
    kinds[int(random.integers(len(kinds)))](copy, random)
    return copy


def _node(model: onnx.ModelProto, random: np.random.Generator) -> onnx.NodeProto:
    found: onnx.NodeProto = model.graph.node[int(random.integers(len(model.graph.node)))]
    return found


def _attribute(model: onnx.ModelProto, random: np.random.Generator) -> None:
    """Give an attribute another value or another type."""
    node = _node(model, random)
    names = [a.name for a in node.attribute] or ["axis", "group", "axes", "perm"]
    name = names[int(random.integers(len(names)))]
    kept = [a for a in node.attribute if a.name != name]
    one, two = (int(n) for n in random.choice(ODD, 2))
    values = (one, [one], [one, two], float(one), "text", [])
    value = values[int(random.integers(len(values)))]
    kind = onnx.AttributeProto.INTS if value == [] else None
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value, attr_type=kind)])


def _lost_attribute(model: onnx.ModelProto, random: np.random.Generator) -> None:
    node = _node(model, random)
    if node.attribute:
        del node.attribute[int(random.integers(len(node.attribute)))]


def _inputs(model: onnx.ModelProto, random: np.random.Generator) -> None:
    """Let two inputs of a node change places, or read another tensor."""
    node = _node(model, random)
    names = [*(t.name for t in model.graph.initializer), *(v.name for v in model.graph.input)]
    if node.input and names:
        node.input[int(random.integers(len(node.input)))] = names[int(random.integers(len(names)))]


def _lost_input(model: onnx.ModelProto, random: np.random.Generator) -> None:
    node = _node(model, random)
    if not node.input:
        return
    if random.integers(2):
        node.input[int(random.integers(len(node.input)))] = ""
    else:
        del node.input[-1]


def _shape(model: onnx.ModelProto, random: np.random.Generator) -> None:
    """Declare another length or rank of an input."""
    entry = model.graph.input[int(random.integers(len(model.graph.input)))]
    dims = entry.type.tensor_type.shape.dim
    if not dims or random.integers(4) == 0:
        dims.add().dim_value = int(random.choice(ODD))
    elif random.integers(4) == 0:
        del dims[-1]
    else:
        dims[int(random.integers(len(dims)))].dim_value = int(random.choice(ODD))


def _constant(model: onnx.ModelProto, random: np.random.Generator) -> None:
    """Put odd numbers into a constant, or give it another shape."""
    if not model.graph.initializer:
        return
    tensor = model.graph.initializer[int(random.integers(len(model.graph.initializer)))]
    values = np.array(numpy_helper.to_array(tensor))
    if random.integers(2) and values.dtype == np.int64:
        values = np.full(values.shape, random.choice(ODD), np.int64)
    elif random.integers(2):
        values = values.reshape(*values.shape, 1)
    else:
        values = values[:0] if values.ndim else values.reshape(1, 1, 1)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


OPERATORS = ("MatMul", "Concat", "Reshape", "Transpose", "Conv", "Gather", "Split", "Slice", "LSTM")


def _operator(model: onnx.ModelProto, random: np.random.Generator) -> None:
    node = _node(model, random)
    node.op_type = OPERATORS[int(random.integers(len(OPERATORS)))]
