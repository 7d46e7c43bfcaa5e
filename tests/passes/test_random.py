import spa_onnx
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half_result


def test_a_seed_chooses_other_lanes_and_the_same_ones_again() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 32, 3)
    model = g.model(g.conv(x, 3))
    first, again, other = (half_result(model, seed=s).plan.cuts[0].keep for s in (0, 0, 1))
    assert first == again
    assert first != other
    assert spa_onnx.prune(model).plan.cuts[0].keep not in (first, other)
