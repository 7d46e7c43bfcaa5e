"""Measuring other tools: what crashes is a row, nothing runs twice, results are looked at."""

import importlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(__file__).parents[2] / "models"
MEMORY = 2**34
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    """Import a script as it is imported when it runs: its folder on the path."""
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module(name)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Any:
    return script(monkeypatch, "peers")


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> Any:
    return script(monkeypatch, "isolated")


def write_mlp(path: Path) -> None:
    """Write two layers of 6 hidden units; the biases of the second are outputs."""
    rng = np.random.default_rng(0)
    arrays = {"w": rng.normal(size=(4, 6)), "b": rng.normal(size=6), "v": rng.normal(size=(6, 3))}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("MatMul", ["d", "v"], ["y"]),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )


# -- processes ------------------------------------------------------------------------------------


def misbehave(case: str, stages: Any) -> Mapping[str, Any]:
    """Do as the case says, in a stage."""
    with stages("first"):
        pass
    with stages("second"):
        if case == "raise":
            raise ValueError("line\nand \udcff")
        if case == "crash":
            os._exit(7)
        if case == "hang":
            time.sleep(60)
        if case == "memory":
            return {"size": len(np.ones(2**31, np.float64))}
    return {"case": case}


@pytest.mark.parametrize("jobs", [1, 3])
def test_whatever_a_function_does_is_an_outcome(isolated: Any, jobs: int) -> None:
    cases = ["return", "raise", "crash", "hang", "memory", "return"]
    start = time.monotonic()
    outcomes = list(isolated.run_isolated(misbehave, cases, 1.0, 2**33, jobs))
    assert time.monotonic() - start < 20
    assert sorted(case for case, _ in outcomes) == sorted(cases)
    of = dict(outcomes)
    assert of["return"].figures == {"case": "return"}
    assert set(of["return"].stages) == {"first", "second"}
    assert of["raise"].error == r"ValueError: line and \udcff"
    assert (of["raise"].stage, set(of["raise"].stages)) == ("second", {"first"})
    assert of["crash"].error == "crashed with exit code 7"
    assert of["hang"].error == "no result after 1 s"
    assert [case for case, outcome in outcomes if outcome.timed_out] == ["hang"]
    assert "MemoryError" in of["memory"].error


def test_a_limit_counts_for_every_stage_anew(isolated: Any) -> None:
    def slow(case: str, stages: Any) -> Mapping[str, Any]:
        for name in "abc":
            with stages(name):
                time.sleep(0.4)
        return {}

    ((_, outcome),) = isolated.run_isolated(slow, ["x"], 1.0, MEMORY)
    assert outcome.figures == {}
    assert outcome.stages["c"] == pytest.approx(0.4, abs=0.3)


# -- the list and its results ---------------------------------------------------------------------


def test_one_file_stands_for_a_model_and_the_legacy_exporters_comes_first(
    peers: Any, tmp_path: Path
) -> None:
    for name in (
        "timm/a.dynamo.onnx",
        "timm/a.onnx",
        "timm/b.batch.onnx",
        "timm/b.dynamo.onnx",
        "torchvision/dynamo/c.onnx",
        "torchvision/legacy/c.onnx",
        "torchvision/dynamo/d.onnx",
        "transformers/e.dynamo.open.onnx",
        "jax/f.v2.onnx",
        "outside.onnx",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = {k: str(v.relative_to(tmp_path)) for k, v in peers.models_of(tmp_path).items()}
    assert found == {
        "timm/a": "timm/a.onnx",
        "timm/b": "timm/b.dynamo.onnx",
        "torchvision/c": "torchvision/legacy/c.onnx",
        "torchvision/d": "torchvision/dynamo/d.onnx",
        "transformers/e": "transformers/e.dynamo.open.onnx",
        "jax/f.v2": "jax/f.v2.onnx",
    }
    cases = list(peers.cases_of(tmp_path, peers.TOOLS, "*/[af]*", beside=False))
    assert {(case.model, case.tool) for case in cases} == {
        ("timm/a", "torch-pruning"),
        ("timm/a", "torch-pruning-hints"),
        ("timm/a", "onnxsim"),
        ("timm/a", "onnxsim-plain"),
        ("jax/f.v2", "onnxsim"),
        ("jax/f.v2", "onnxsim-plain"),
    }


def test_names_of_any_kind_make_one_line_and_nothing_runs_twice(
    peers: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo, log = tmp_path / "zoo", tmp_path / "log.jsonl"
    names = ['own/a | b\n"c"', "own/ümlaut", os.fsdecode(b"own/not utf-8 \xff")]
    for name in names:
        (zoo / "own").mkdir(parents=True, exist_ok=True)
        (zoo / f"{name}.onnx").touch()
    tried: list[str] = []

    def run(function: Any, cases: Any, *_limits: Any) -> Any:
        for case in cases:
            tried.append(case.model)
            fails = "b" in case.model
            error = {"stage": "prune", "error": "KeyError: no", "timed_out": False}
            stages = {"original": 5.0, "graph": 0.5, "prune": 0.25}
            yield (
                case,
                peers.Outcome(**error)
                if fails
                else peers.Outcome({"before": 8, "after": 2}, stages),
            )

    monkeypatch.setattr(peers, "run_isolated", run)
    for again in (False, False, True):
        cases = peers.cases_of(zoo, ("torch-pruning",), "*", beside=False)
        peers.run_all(cases, zoo, log, 1.0, MEMORY, 1, again)
    assert sorted(tried) == sorted([*names, names[0]])
    assert len(log.read_text().splitlines()) == 4
    rows = {row.model: row for row in peers.finished(log)}
    assert set(rows) == set(names)
    good, bad = rows["own/ümlaut"], rows[names[0]]
    assert (good.valid, good.removed, good.seconds, good.error) == (True, 0.75, 0.75, None)
    assert (bad.valid, bad.removed, bad.seconds, bad.error) == (
        False,
        None,
        None,
        "prune: KeyError: no",
    )


def test_the_summary_counts_what_is_valid_pruned_late_and_no_model(peers: Any) -> None:
    def row(model: str, valid: bool, removed: float | None, **facts: Any) -> Any:
        return peers.Row(model, "onnxsim", "1", "f", valid, removed, 2.0, **facts)

    rows = [
        row("a", True, 0.5),
        row("b", True, 0.7),
        row("c", True, 0.01),
        row("d", False, None, error="check: no"),
        row("e", False, None, error="prune: no result after 1 s", timed_out=True),
        row("f", False, None, error="original: does not run"),
    ]
    line = peers.summary(rows).splitlines()[-1]
    assert line == "| onnxsim | 5 | 60 % | 40 % | 60.0 % | 2.00 | 1 | 1 |"
    assert peers.summary([]) == peers.HEADER


def test_times_are_compared_on_the_models_that_both_pruned(peers: Any) -> None:
    def row(model: str, tool: str, seconds: float, valid: bool = True) -> Any:
        stages = {"analyse": seconds, "write": 1.0}
        return peers.Row(model, tool, "1", "f", valid, None, seconds, stages)

    rows = [
        row("a", "spa-onnx", 1.0),
        row("a", "torch-pruning", 4.0),
        row("b", "torch-pruning", 9.0, valid=False),
    ]
    assert peers.summary_beside(rows) == (
        "1 models, seconds, median: spa-onnx 1.000, Torch-Pruning 4.000, ratio 0.25; "
        "with loading, scoring and writing 2.000, ratio 0.50."
    )
    assert peers.summary_beside(rows[2:]) == "No model was pruned by both."


# -- the tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize("simplified", [True, False])
def test_onnxsim_halves_a_layer_and_the_result_is_checked_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, isolated: Any, simplified: bool
) -> None:
    pytest.importorskip("onnxsim")
    onnxsim = script(monkeypatch, "peer_onnxsim")
    path = tmp_path / "mlp.onnx"
    write_mlp(path)
    names: list[str] = []
    figures = onnxsim.prune_file(path, 0.5, isolated.Stages(names.append), simplified)
    assert figures == {"before": 48, "after": 24}
    assert ("simplify" in names) == simplified


@pytest.mark.parametrize(
    ("declared", "got", "fits"),
    [
        (None, (2, 3), True),
        (None, (2, 4), False),
        ((), (2, 3), True),  # a file may declare another rank than the runtime computes
        ((True, False), (5, 3), True),
        ((True, False), (2, 4), False),
        ((True, False), (2, 3, 1), False),
    ],
)
def test_open_axes_of_an_output_may_change_and_others_not(
    monkeypatch: pytest.MonkeyPatch,
    declared: tuple[bool, ...] | None,
    got: tuple[int, ...],
    fits: bool,
) -> None:
    onnxsim = script(monkeypatch, "peer_onnxsim")
    if fits:
        onnxsim.compare([np.ones((2, 3))], [np.ones(got)], [declared])
        return
    with pytest.raises(onnxsim.InvalidResultError, match="output 0 has shape"):
        onnxsim.compare([np.ones((2, 3))], [np.ones(got)], [declared])


@pytest.mark.parametrize("change", ["reverse", "cut short", "narrow", "burst"])
def test_a_result_that_is_not_valid_is_a_row_and_says_so(
    monkeypatch: pytest.MonkeyPatch, peers: Any, tmp_path: Path, change: str
) -> None:
    onnxsim = script(monkeypatch, "peer_onnxsim")
    path = tmp_path / "own" / "mlp.onnx"
    write_mlp(path)

    def spoil(model: onnx.ModelProto, *_settings: Any) -> onnx.ModelProto:
        SPOIL[change](model)
        return model

    monkeypatch.setattr(onnxsim, "pruned_by_onnxsim", spoil)
    case = peers.Case("own/mlp", path, "onnxsim")
    ((_, outcome),) = peers.run_isolated(peers.prune, [case], 60.0, MEMORY)
    row = peers.row_of(case, outcome, tmp_path)
    assert (row.valid, row.removed, row.usable) == (False, None, True)
    assert row.error.startswith(f"check: {ERRORS[change]}")


def narrow(model: onnx.ModelProto) -> None:
    """Cut the output itself, consistently."""
    weight = model.graph.initializer[2]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :2], "v"))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 2


def burst(model: onnx.ModelProto) -> None:
    """Let the outputs overflow."""
    weight = model.graph.initializer[2]
    weight.CopyFrom(numpy_helper.from_array(np.full((6, 3), np.inf, np.float32), "v"))


SPOIL: dict[str, Callable[[onnx.ModelProto], object]] = {
    "reverse": lambda model: model.graph.node[-1].input.reverse(),
    "cut short": lambda model: model.graph.node.pop(),
    "narrow": narrow,
    "burst": burst,
}
ERRORS = {
    "reverse": "Fail: [ONNXRuntimeError]",
    "cut short": "ValidationError: ",
    "narrow": "InvalidResultError: output 0 has shape (2, 2) and had (2, 3)",
    "burst": "InvalidResultError: output 0 is not finite any more",
}


def test_a_file_that_does_not_run_is_not_the_tools_fault(peers: Any, tmp_path: Path) -> None:
    path = tmp_path / "own" / "broken.onnx"
    write_mlp(path)
    path.write_bytes(path.read_bytes()[:40])
    case = peers.Case("own/broken", path, "onnxsim")
    ((_, outcome),) = peers.run_isolated(peers.prune, [case], 60.0, MEMORY)
    row = peers.row_of(case, outcome, tmp_path)
    assert not row.usable
    assert json.loads(json.dumps(row.error)).startswith("original: ")
