"""The reason of a fixed axis names what fixed it first, however far away."""

import numpy as np
import onnx

import spa_onnx
from spa_onnx.algebra.reason import Reason
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import reasons

INTERFACE = "its shape is part of the model's interface"


def only_reason(model: onnx.ModelProto, tensor: str, axis: int) -> Reason:
    fixed = spa_onnx.analyze(model).fixed
    ((reason,),) = [f.reasons for f in fixed if (f.tensor, f.axis) == (tensor, axis)]
    return reason


def root_of(model: onnx.ModelProto, tensor: str, axis: int) -> tuple[str, str]:
    """Return operator of the root and operator where it was met."""
    reason = only_reason(model, tensor, axis)
    assert reason.root is not None
    return reason.root.node, reason.node.partition(" ")[0]


def test_a_weight_of_an_input_names_the_input() -> None:
    g = GraphBuilder(opset=13)
    w = g.weight(6, 8, name="w")
    model = g.model(g.linear(g.relu(g.linear(g.input("x", (2, 6)), 8, weight=w)), 3))
    reason = only_reason(model, "w", 0)
    assert str(reason) == (
        f"MatMul 'MatMul_1': contraction: the other side is fixed by graph input 'x': {INTERFACE}"
    )


def test_the_root_is_kept_through_residual_additions() -> None:
    g = GraphBuilder(opset=13)
    x = g.input("x", (2, 8))
    for k in range(3):
        inner = g.relu(g.linear(x, 16, bias=False))
        # the sum goes on as its first operand, so what it fixed is what the next one meets
        x = g.add(g.linear(inner, 8, weight=g.weight(16, 8, name=f"out_{k}"), bias=False), x)
    model = g.model(g.linear(x, 3, weight=g.weight(8, 3, name="head")))
    for k in range(3):
        assert root_of(model, f"out_{k}", 1) == ("graph input 'x'", "Add")
    assert root_of(model, "head", 0) == ("graph input 'x'", "MatMul")


def test_the_root_is_kept_through_a_reshape() -> None:
    """Twelve features become three times four, and either part meets a weight."""
    g = GraphBuilder(opset=13)
    x = g.reshape(g.input("x", (2, 12)), (2, 3, 4))
    rows, columns = g.weight(3, 1, name="rows"), g.weight(4, 5, name="columns")
    y = g.matmul(g.mul(x, rows), columns)
    model = g.model(g.linear(g.relu(g.reshape(y, (2, 15))), 2))
    assert root_of(model, "rows", 0) == ("graph input 'x'", "Mul")
    assert root_of(model, "columns", 0) == ("graph input 'x'", "MatMul")


def test_where_positions_and_fixed_channels_are_flattened_the_channels_are_the_root() -> None:
    """Positions never are what keeps an axis whole: channels beside them could go."""
    g = GraphBuilder(opset=13)
    y = g.conv(g.input("x", (1, 3, 8, 8)), 4, 3)
    y = g.node("LRN", [y], size=3)
    flat = g.flatten(g.relu(y))
    model = g.model(g.linear(flat, 2, weight=g.weight(256, 2, name="head")))
    assert root_of(model, "head", 0)[0].startswith("LRN")


def test_the_root_of_a_concatenation_is_the_longest_part() -> None:
    g = GraphBuilder(opset=13)
    x, y = g.input("x", (2, 3)), g.input("y", (2, 7))
    joined = g.concat(x, y)
    model = g.model(g.linear(joined, 2, weight=g.weight(10, 2, name="head")))
    assert root_of(model, "head", 0) == ("graph input 'y'", "MatMul")


def test_a_part_that_is_cut_out_of_a_concatenation_again_has_its_own_root() -> None:
    g = GraphBuilder(opset=13)
    made = g.relu(g.linear(g.input("x", (2, 3)), 6, weight=g.weight(3, 6, name="first")))
    joined = g.concat(g.input("y", (2, 7)), made)
    low, high = g.split(joined, (7, 6))
    narrow = g.linear(low, 2, weight=g.weight(7, 2, name="narrow"))
    model = g.model(g.add(narrow, g.linear(high, 2)))
    assert root_of(model, "narrow", 0) == ("graph input 'y'", "MatMul")


def test_a_table_of_positions_names_the_operator_that_made_them() -> None:
    g = GraphBuilder(opset=13)
    patches = g.conv(g.input("x", (1, 3, 8, 8)), 6, 2, stride=2, padding=0)
    tokens = g.transpose(g.reshape(patches, (1, 6, 16)), 0, 2, 1)
    cls = g.weight(1, 1, 6, name="cls")
    x = g.add(g.concat(cls, tokens), g.weight(1, 17, 6, name="table"))
    model = g.model(g.linear(x, 2))
    reason = only_reason(model, "table", 1)
    assert reason.root is not None
    assert reason.root.node.startswith("Conv")
    assert reason.root.text == "positions under a sliding window"


def test_keys_that_meet_a_cache_name_the_cache() -> None:
    """Queries reach it through a product of two activations, past a concatenation of tokens."""
    g = GraphBuilder(opset=13)
    x, past = g.input("x", (1, 2, 6)), g.input("past", (1, 3, 8))
    key = g.concat(past, g.linear(x, 8, weight=g.weight(6, 8, name="key"), bias=False))
    query = g.linear(x, 8, weight=g.weight(6, 8, name="query"), bias=False)
    model = g.model(g.matmul(query, g.transpose(key, 0, 2, 1)))
    assert root_of(model, "key", 1) == ("graph input 'past'", "Concat")
    assert root_of(model, "query", 1) == ("graph input 'past'", "MatMul")


def test_an_output_far_away_is_the_reason_itself() -> None:
    """It comes after all the others: the lanes were bound to each other and are fixed together."""
    g = GraphBuilder(opset=13)
    x = g.linear(g.input("x", (2, 6)), 8, weight=g.weight(6, 8, name="first"), bias=False)
    for k in range(3):
        inner = g.relu(g.linear(x, 16, bias=False))
        x = g.add(x, g.linear(inner, 8, weight=g.weight(16, 8, name=f"out_{k}"), bias=False))
    model = g.model(x)
    for tensor in ("first", "out_0", "out_1", "out_2"):
        assert only_reason(model, tensor, 1) == Reason(f"graph output '{x}'", INTERFACE)


def test_a_row_chosen_from_a_fixed_axis_has_the_root_of_the_axis() -> None:
    g = GraphBuilder(opset=13)
    chosen = g.gather(g.input("x", (2, 9)), np.array([0, 3, 4, 8]))
    model = g.model(g.linear(chosen, 2, weight=g.weight(4, 2, name="w")))
    assert root_of(model, "w", 0) == ("graph input 'x'", "MatMul")


def test_stacked_single_lanes_name_the_operator_that_stacks_them() -> None:
    """As in spatial attention: mean and maximum over the channels, one lane each."""
    g = GraphBuilder(opset=13)
    y = g.relu(g.conv(g.input("x", (1, 3, 8, 8)), 4))
    joined = g.concat(g.reduce("ReduceMean", y, 1), g.reduce("ReduceMax", y, 1))
    model = g.model(g.mul(y, g.conv(joined, 1, weight=g.weight(1, 2, 1, 1, name="places"))))
    reason = only_reason(model, "places", 1)
    assert reason.root is not None
    assert reason.root.node.startswith("Concat")
    assert reason.root.text == "single lanes laid end to end"


def test_what_an_operator_without_a_rule_makes_names_that_operator() -> None:
    g = GraphBuilder(opset=13)
    strange = g.node("RandomNormalLike", [g.input("x", (2, 6))])
    model = g.model(g.linear(strange, 2, weight=g.weight(6, 2, name="w")))
    assert reasons(model, "w", 0).endswith("RandomNormalLike_1': no rule for this operator")
