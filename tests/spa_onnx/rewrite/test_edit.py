import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from spa_onnx.graph.node import Node
from spa_onnx.rewrite.edit import GraphEditor, live_nodes
from tests.builders import GraphBuilder


def model() -> ModelProto:
    g = GraphBuilder(opset=13)
    target = g.constant([2, 4], "target")
    x = g.input("x", (2, 2, 2))
    return g.model(g.node("Reshape", [x, target]), g.node("Reshape", [g.relu(x), target]))


def node(model: ModelProto, index: int) -> Node:
    return Node(model.graph.node[index], 13, index)


def values(edited: ModelProto) -> dict[str, list[int]]:
    return {t.name: numpy_helper.to_array(t).tolist() for t in edited.graph.initializer}


def test_a_shared_constant_is_copied_for_the_node_that_changes_it() -> None:
    edited = model()
    editor = GraphEditor(edited)
    editor.set_input(node(edited, 0), 1, np.array([4, 2]))
    editor.finish()
    first, second = edited.graph.node[0].input[1], edited.graph.node[2].input[1]
    assert second == "target"
    assert values(edited) == {"target": [2, 4], first: [4, 2]}


def test_a_constant_of_one_node_keeps_its_name() -> None:
    edited = model()
    editor = GraphEditor(edited)
    editor.set_input(node(edited, 0), 1, np.array([4, 2]))
    editor.set_input(node(edited, 2), 1, np.array([1, 8]))
    editor.finish()
    assert edited.graph.node[2].input[1] == "target"
    assert sorted(values(edited).values()) == [[1, 8], [4, 2]]


def test_a_declared_constant_is_declared_with_its_new_shape() -> None:
    edited = model()
    edited.graph.value_info.append(helper.make_tensor_value_info("target", TensorProto.INT64, [2]))
    editor = GraphEditor(edited)
    editor.replace_initializer("target", numpy_helper.from_array(np.array([2, 2, 2]), "target"))
    (declared,) = edited.graph.value_info
    assert [d.dim_value for d in declared.type.tensor_type.shape.dim] == [3]


def test_an_empty_list_removes_an_attribute() -> None:
    edited = model()
    editor = GraphEditor(edited)
    editor.set_attribute(node(edited, 0), "allowzero", 1)
    assert edited.graph.node[0].attribute[0].i == 1
    editor.set_attribute(node(edited, 0), "allowzero", [])
    assert not edited.graph.node[0].attribute


def test_names_are_made_unique() -> None:
    editor = GraphEditor(model())
    assert [editor.unique("target"), editor.unique("target"), editor.unique("new")] == [
        "target_2",
        "target_3",
        "new",
    ]


def test_only_what_an_edit_left_useless_is_dropped() -> None:
    edited = model()
    edited.graph.node[1].output[0] = "unused before"
    edited.graph.node[2].input[0] = "x"
    editor = GraphEditor(edited)
    assert editor.finish() == ()
    assert len(edited.graph.node) == 3
    assert live_nodes(list(edited.graph.node), {v.name for v in edited.graph.output}) == {0, 2}
