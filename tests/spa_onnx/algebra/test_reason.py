from spa_onnx.algebra.reason import Reason


def test_a_reason_is_one_sentence() -> None:
    root = Reason("graph input 'x'", "part of the interface", born=True)
    assert str(root) == "graph input 'x': part of the interface"
    assert str(Reason("Add 'a'", "element by element", root)) == (
        "Add 'a': element by element: the other side is fixed"
        " by graph input 'x': part of the interface"
    )
