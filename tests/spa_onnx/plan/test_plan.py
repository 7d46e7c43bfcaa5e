import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spa_onnx
from spa_onnx.plan.plan import Cut, Plan
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half_result


def attention(seed: int = 0, width: int = 12) -> onnx.ModelProto:
    """A model with dims whose rows are uneven."""
    g = GraphBuilder(opset=17, seed=seed)
    x, heads = g.input("x", (2, 5, 6)), []
    for _ in range(3):
        split = g.reshape(g.linear(x, width), (0, 0, 3, width // 3))
        heads.append(g.transpose(split, 0, 2, 1, 3))
    scores = g.softmax(g.matmul(heads[0], g.transpose(heads[1], 0, 1, 3, 2)))
    mixed = g.transpose(g.matmul(scores, heads[2]), 0, 2, 1, 3)
    return g.model(g.linear(g.reshape(mixed, (0, 0, width)), 3))


def chain(seed: int = 0, width: int = 8) -> onnx.ModelProto:
    g = GraphBuilder(opset=13, seed=seed)
    x = g.conv(g.input("x", (1, 3, 6, 6)), width, 3)
    return g.model(g.conv(g.relu(x), 3))


@st.composite
def cuts(draw: Any) -> Cut:
    size = draw(st.integers(2, 40))
    rows = draw(st.integers(1, 4))
    count = draw(st.integers(1, size))
    lanes = st.lists(st.integers(0, size - 1), min_size=count, max_size=count, unique=True)
    keep = tuple(tuple(sorted(draw(lanes))) for _ in range(rows))
    return Cut(
        draw(st.text(max_size=8)), size, draw(st.sampled_from(["h#1"])) if rows > 1 else None, keep
    )


@given(st.lists(cuts(), max_size=4), st.dictionaries(st.text(max_size=5), st.integers()))
def test_a_plan_survives_its_file(drawn: list[Cut], settings: dict[str, int]) -> None:
    plan = Plan("abc", tuple(drawn), settings)
    assert Plan.from_json(plan.to_json(), "test") == plan


def test_lanes_are_written_as_runs() -> None:
    plan = Plan("abc", (Cut("d#0", 9, None, ((0, 1, 2, 5, 7, 8),)),))
    assert json.loads(plan.to_json())["cuts"][0]["keep"] == ["0-2,5,7-8"]


@pytest.mark.parametrize("make", [chain, attention])
def test_a_replayed_plan_gives_the_same_model(make: Any, tmp_path: Path) -> None:
    result = half_result(make())
    path = tmp_path / "plan.json"
    path.write_text(result.plan.to_json())
    for plan in (result.plan, path, str(path)):
        again = spa_onnx.apply(make(), plan)
        assert again.model == result.model
        assert again.report.settings == result.report.settings


def test_a_plan_may_be_applied_to_other_weights_of_the_same_graph() -> None:
    result = half_result(chain(seed=0))
    other = spa_onnx.apply(chain(seed=1), result.plan).model
    assert [list(t.dims) for t in other.graph.initializer] == [
        list(t.dims) for t in result.model.graph.initializer
    ]


def test_a_plan_keeps_the_shapes_and_exclusions_that_it_was_made_with() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3), 6)
    model = g.model(g.conv(x, 3))
    result = half_result(model, exclude=("weight_1",), input_shapes={"x": (4, 3, 6, 6)})
    assert len(result.plan.cuts) == 1
    again = spa_onnx.apply(model, Plan.from_json(result.plan.to_json(), ""))
    assert again.model == result.model


def test_a_plan_proves_a_model_that_was_made_elsewhere() -> None:
    result = half_result(attention())
    proof = spa_onnx.verify(attention(), result.model, result.plan)
    assert proof.largest < 1e-4 < proof.power


@pytest.mark.parametrize("other", [chain(width=9), attention()])
def test_a_plan_of_another_graph_is_refused(other: onnx.ModelProto) -> None:
    plan = half_result(chain()).plan
    with pytest.raises(spa_onnx.PlanError, match="was made for a graph of another structure"):
        spa_onnx.apply(other, plan)


def damaged(content: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    """Return the content with one value replaced."""
    copy = json.loads(json.dumps(content))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dict(copy)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("format",), 99, "has format 99, this version reads 1"),
        (("structure",), "abc", "another structure"),
        (("cuts",), 5, "is no plan of spa-onnx"),
        (("cuts", 0, "dim"), "nobody", "cuts dim 'nobody' of 8 lanes, unknown here"),
        (("cuts", 0, "size"), 9, "cuts dim .* of 9 lanes, unknown here"),
        (("cuts", 0, "size"), "many", "is no plan of spa-onnx"),
        (("cuts", 0, "size"), float("inf"), "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), [], "keeps no equal, non-empty set of lanes"),
        (("cuts", 0, "keep"), ["0-3", "0-3"], "keeps no equal, non-empty set of lanes"),
        (("cuts", 0, "keep"), [""], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), ["0-8"], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), ["-1"], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), ["3,3"], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), ["5,3"], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), ["5-3"], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), [5], "is no plan of spa-onnx"),
        (("cuts", 0, "keep"), None, "is no plan of spa-onnx"),
        (("cuts", 0, "rows"), "other#1", "apart, which are tied here|rows"),
        (("settings",), [1], "is no plan of spa-onnx"),
        (("settings", "exclude"), 5, "broken settings"),
        (("settings", "input_shapes"), [1], "broken settings"),
        (("settings", "seed"), "abc", "broken settings"),
    ],
)
def test_a_damaged_plan_is_refused(
    path: tuple[str | int, ...], value: Any, problem: str, tmp_path: Path
) -> None:
    content = json.loads(half_result(chain()).plan.to_json())
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(damaged(content, *path, value=value)))
    with pytest.raises(spa_onnx.PlanError, match=f"^plan .*plan.json:? .*({problem})"):
        spa_onnx.apply(chain(), file)


@pytest.mark.parametrize("text", ["", "{", "null", "[1]", "5", '"text"', "{}", "\x00"])
def test_other_text_is_no_plan(text: str) -> None:
    with pytest.raises(spa_onnx.PlanError, match=r"plan p\.json: is no plan of spa-onnx"):
        Plan.from_json(text, "p.json")


def test_a_missing_or_binary_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(spa_onnx.PlanError, match="cannot be read"):
        spa_onnx.apply(chain(), tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(spa_onnx.PlanError, match="cannot be read"):
        spa_onnx.apply(chain(), tmp_path / "binary.json")


def test_rows_must_be_those_of_the_graph() -> None:
    result = half_result(attention())
    uneven = next(c for c in result.plan.cuts if c.rows is not None)
    even = Cut(uneven.name, uneven.size, None, uneven.keep[:1])
    others = tuple(c for c in result.plan.cuts if c is not uneven)
    proved = spa_onnx.apply(
        attention(), Plan(result.plan.structure, (*others, even), result.plan.settings)
    )
    assert proved.report.proof is not None
    wrong = Cut(uneven.name, uneven.size, uneven.rows, uneven.keep[:2])
    with pytest.raises(spa_onnx.PlanError, match="keeps no equal, non-empty set"):
        spa_onnx.apply(attention(), Plan(result.plan.structure, (wrong,), result.plan.settings))


def test_coupled_lanes_may_not_be_separated() -> None:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 6, 3)
    model = g.model(g.conv(g.add(x, g.slice(x, -1, None, step=-1)), 3))
    plan = half_result(model).plan
    (cut,) = plan.cuts
    wrong = Plan(plan.structure, (Cut(cut.name, 6, None, ((0, 1),)),), plan.settings)
    with pytest.raises(spa_onnx.PlanError, match=r"separates lanes of .* that are coupled"):
        spa_onnx.apply(model, wrong)


def test_uncut_dims_are_not_mentioned() -> None:
    result = half_result(chain(), ratio=0.0)
    assert result.plan.cuts == ()
    assert np.array_equal(result.report.before.parameters, result.report.after.parameters)
