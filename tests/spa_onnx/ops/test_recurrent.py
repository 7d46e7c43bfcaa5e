import onnx
import pytest

from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import attribute, half, reasons, shape, widths
from tests.spa_onnx.untracked import shaped

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrence(op: str, *, bidirectional: bool = False) -> onnx.ModelProto:
    g = GraphBuilder(opset=14)
    x = g.linear(g.input("x", (5, 2, 4)), 8)
    y = g.recurrent(op, x, 6, bidirectional=bidirectional)
    ways = 1 + bidirectional
    flat = g.reshape(g.transpose(y, 0, 2, 1, 3), (0, 0, ways * 6))
    return g.model(g.linear(flat, 3))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("op", GATES)
def test_a_hidden_lane_goes_from_every_gate_and_direction(op: str, bidirectional: bool) -> None:
    small = half(recurrence(op, bidirectional=bidirectional))
    ways, rows, width = shape(small, op)
    assert ways == 1 + bidirectional
    hidden = attribute(small, op, "hidden_size")
    assert rows == GATES[op] * hidden
    assert (hidden, width) == (3, 4)
    assert shape(small, op, 2) == (ways, rows, hidden)
    assert shape(small, op, 3) == (ways, 2 * rows)
    assert shape(small, "MatMul", index=1) == (ways * hidden, 3)


def test_initial_states_lose_the_lanes_too() -> None:
    g = GraphBuilder(opset=14)
    states = [g.unsqueeze(g.gemm(g.input(f"s{k}", (2, 3)), 6), 0) for k in range(2)]
    y = g.recurrent("LSTM", g.input("x", (5, 2, 4)), 6, initial=states)
    small = half(g.model(g.linear(g.squeeze(y, 1), 3)))
    assert [shape(small, "Gemm", index=k) for k in range(2)] == [(3, 3), (3, 3)]


def test_batch_first_layout_is_refused() -> None:
    g = GraphBuilder(opset=14)
    x = g.linear(g.input("x", (2, 5, 4)), 8)
    inputs = [x, g.weight(1, 18, 8, fan_in=8), g.weight(1, 18, 6, fan_in=6)]
    y = g.node("GRU", inputs, hidden_size=6, layout=1)
    shaped(g, y, (2, 5, 1, 6))
    model = g.model(g.linear(g.squeeze(y, 2), 3), check=False)
    assert "batch-first layout" in reasons(model, "const_1", 1)


def test_directions_of_initial_states_stay() -> None:
    g = GraphBuilder(opset=13)
    states = g.gemm(g.input("s", (3, 4)), 12)
    initial = g.transpose(g.reshape(states, (3, 2, 6)), 1, 0, 2)
    y = g.recurrent("GRU", g.input("x", (5, 3, 4)), 6, bidirectional=True, initial=[initial])
    assert widths(g.model(y, g.gemm(states, 3))) == []
