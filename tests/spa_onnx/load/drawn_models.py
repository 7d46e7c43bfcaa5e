"""Hypothesis draws models that hold tensors wherever ONNX allows them; they need not run."""

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

LENGTHS = (0, 1, 255, 256, 257, 700)
"""Elements of float tensors: below, at and above the kilobyte that stays in a skeleton."""


@st.composite
def tensors(draw: Any, name: str = "t") -> TensorProto:
    """A tensor with raw data, typed data or none."""
    length = draw(st.sampled_from(LENGTHS))
    values = np.arange(length, dtype=np.float32) + draw(st.integers(0, 9))
    if draw(st.booleans()):
        return numpy_helper.from_array(values, name)
    return helper.make_tensor(name, TensorProto.FLOAT, [length], values.tolist())


@st.composite
def nodes(draw: Any, depth: int) -> onnx.NodeProto:
    """A node whose attributes are numbers, tensors, lists of tensors, or graphs."""
    kinds = ["none", "tensor", "tensors"] + ["graph", "graphs"] * (depth > 0)
    match draw(st.sampled_from(kinds)):
        case "tensor":
            attributes: dict[str, Any] = {"value": draw(tensors())}
        case "tensors":
            attributes = {"values": draw(st.lists(tensors(), min_size=1, max_size=3))}
        case "graph":
            attributes = {"body": draw(graphs(depth - 1))}
        case "graphs":
            attributes = {"bodies": draw(st.lists(graphs(depth - 1), min_size=1, max_size=2))}
        case _:
            attributes = {"alpha": 0.5, "note": "location"}  # the key that inflate looks for
    return helper.make_node("Anything", ["x"], ["y"], **attributes)


@st.composite
def graphs(draw: Any, depth: int = 2) -> onnx.GraphProto:
    """A graph of a few nodes and initializers."""
    found = draw(st.lists(nodes(depth), max_size=3))
    weights = [draw(tensors(f"w{k}")) for k in range(draw(st.integers(0, 3)))]
    return helper.make_graph(found, "g", [], [], weights)


@st.composite
def models(draw: Any) -> onnx.ModelProto:
    """A model, maybe with functions."""
    imports = [helper.make_opsetid("", 17)]
    functions = [
        helper.make_function("own", f"f{k}", ["x"], ["y"], [draw(nodes(1))], imports)
        for k in range(draw(st.integers(0, 2)))
    ]
    return helper.make_model(draw(graphs()), functions=functions, opset_imports=imports)
