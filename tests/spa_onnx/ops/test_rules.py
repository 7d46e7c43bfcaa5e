import spa_onnx
from spa_onnx.ops.rules import RULES
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import reasons, widths
from tests.spa_onnx.untracked import declared, like


def test_every_rule_is_listed_under_its_own_name() -> None:
    assert all(name == rule.op for name, rule in RULES.items())


def with_unknown_operator() -> tuple[GraphBuilder, str]:
    g = GraphBuilder(opset=13)
    x = g.conv(g.conv(g.input("x", (1, 3, 6, 6)), 6), 8, 3)
    y = g.node("Mystery", [x], domain="some.vendor")
    like(g, y, x)
    return g, y


def test_an_operator_without_a_rule_stops_pruning_there_and_only_there() -> None:
    g, y = with_unknown_operator()
    model = g.model(g.conv(g.conv(y, 5), 3), check=False)
    model.graph.value_info.append(declared(g, y))
    assert widths(model) == [5, 6]
    assert "some.vendor::Mystery" in reasons(model, "weight_4", 0)
    assert "no rule for this operator" in reasons(model, "weight_4", 0)
    state = spa_onnx.analyze(model).propagation
    assert list(state.unknown_ops) == ["some.vendor::Mystery"]


def test_a_known_operator_of_another_domain_is_not_ours() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Relu", [x], domain="some.vendor")
    like(g, y, x)
    model = g.model(g.conv(y, 3), check=False)
    assert widths(model) == []


def test_behind_an_operator_of_unknown_shape_nothing_is_known() -> None:
    g, y = with_unknown_operator()
    assert widths(g.model(g.conv(g.conv(y, 5), 3), check=False)) == [6]
