"""Element types where ONNX's own inference gives up."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.graph.shapes import infer


def test_a_result_has_the_type_of_the_input_that_the_schema_names() -> None:
    unknown = helper.make_node("Unknown", ["x"], ["u"], domain="mine")
    choice = helper.make_node("Where", ["mask", "u", "other"], ["y"])
    hot = helper.make_node("OneHot", ["places", "depth", "y"], ["z"])
    given = {
        "mask": np.ones((2, 3), bool),
        "other": np.zeros((2, 3), np.float32),
        "places": np.zeros(2, np.int64),
        "depth": np.array(4),
    }
    graph = helper.make_graph(
        [unknown, choice, hot],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    model = helper.make_model(graph, opset_imports=versions)
    types = infer(model).types
    assert types["y"] == TensorProto.FLOAT
    assert types["z"] == TensorProto.FLOAT


def test_an_operator_whose_name_is_no_text_is_like_its_first_input() -> None:
    graph = helper.make_graph(
        [helper.make_node("Where", ["x", "x", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3))],
        [onnx.ValueInfoProto(name="y")],
    )
    broken = helper.make_model(graph).SerializeToString().replace(b"Where", b"\x80here")
    assert infer(onnx.ModelProto.FromString(broken)).types["y"] == TensorProto.FLOAT
