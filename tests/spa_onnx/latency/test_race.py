"""Models against each other: what is compared, what is refused; times are whatever they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from spa_onnx.doctor.op_models import linear_case
from spa_onnx.doctor.self_test import numbers, sparse_weight
from spa_onnx.errors import InputShapeError, ModelFileError, OpenShapeError, TimedModelError
from spa_onnx.latency import race as racing
from spa_onnx.latency.entry_inputs import feeds_for
from spa_onnx.latency.race import Racer, RaceSettings, race
from spa_onnx.latency.same_outputs import agreement
from spa_onnx.runtime.library import KernelsMissingError
from spa_onnx.runtime.packing import pack_blocks
from tests.builders import GraphBuilder
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.cli.commands import write_model

FEW = RaceSettings(rounds=4, warm_up=1)


def ignore(_stage: str) -> None:
    """Be told of stages."""


def run(*paths: Path, settings: RaceSettings = FEW) -> list[Racer]:
    return race(paths, settings, ignore)


def dense(folder: Path, name: str = "a", batch: int | str = 2, factor: float = 1.0) -> Path:
    """Write a model of one layer; the factor scales its output."""
    g = GraphBuilder()
    x = g.gemm(g.input("x", (batch, 8)), 5)
    model = g.model(g.node("Mul", [x, g.constant(np.float32(factor))]))
    model.graph.output[0].name = model.graph.node[-1].output[0] = "result"
    path = folder / f"{name}.onnx"
    write_model(model, path)
    return path


@pytest.mark.parametrize("binding", [False, True])
@pytest.mark.parametrize("sessions", [1, 2])
def test_every_model_has_all_its_runs(tmp_path: Path, binding: bool, sessions: int) -> None:
    settings = RaceSettings(rounds=4, warm_up=0, sessions=sessions, binding=binding)
    racers = run(dense(tmp_path), dense(tmp_path, "b"), settings=settings)
    assert [racer.path.name for racer in racers] == ["a.onnx", "b.onnx"]
    for racer in racers:
        assert racer.wall.shape == racer.cpu.shape == (4 * sessions,)
        assert (racer.wall > 0).all()


def test_outputs_are_compared_with_the_first_model(tmp_path: Path) -> None:
    first, same, other = run(
        dense(tmp_path), dense(tmp_path, "same"), dense(tmp_path, "other", factor=1.5)
    )
    assert first.agreement.largest == same.agreement.largest == 0.0
    assert other.agreement.compared == 1
    assert other.agreement.relative == pytest.approx(0.5, rel=1e-5)


def test_models_with_other_inputs_run_and_are_not_compared(tmp_path: Path) -> None:
    _, other = run(dense(tmp_path), dense(tmp_path, "b", batch=3))
    assert other.agreement.largest is None
    assert other.agreement.left == {"result": "the inputs are others"}


def test_the_order_of_models_changes_from_round_to_round(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    runs = [lambda k=k: ran.append(k) for k in range(3)]
    racing._turns(runs, RaceSettings(rounds=3, warm_up=0))  # pyright: ignore[reportPrivateUsage]
    assert ran == [0, 1, 2, 1, 2, 0, 2, 0, 1]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gone\.onnx: no such file"):
        run(dense(tmp_path), tmp_path / "gone.onnx")


def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.onnx"
    node = helper.make_node("Mystery", ["x"], ["y"])
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy"]
    graph = helper.make_graph([node], "odd", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 17)]
    write_model(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    with pytest.raises(TimedModelError, match=r"odd\.onnx: ONNX Runtime cannot load it: .*Mystery"):
        run(dense(tmp_path), path)


def test_a_model_that_does_not_run_is_named(tmp_path: Path) -> None:
    g = GraphBuilder()
    x = g.input("x", ("N", "M"))
    path = tmp_path / "odd.onnx"
    write_model(g.model(g.node("Reshape", [x, g.constant(np.array([7, 11]))]), check=False), path)
    with pytest.raises(TimedModelError, match=r"odd\.onnx: ONNX Runtime cannot run it: .*Reshape"):
        run(path, settings=RaceSettings(rounds=1, shapes={"x": (2, 3)}))


def test_an_input_that_is_no_tensor_of_numbers_is_named(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["words"], ["y"])
    value = [helper.make_tensor_value_info(n, TensorProto.STRING, [1]) for n in ("words", "y")]
    graph = helper.make_graph([node], "odd", value[:1], value[1:])
    path = tmp_path / "odd.onnx"
    opsets = [helper.make_opsetid("", 17)]
    write_model(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)
    with pytest.raises(TimedModelError, match=r"input 'words' is a tensor\(string\), which"):
        run(path)


def two_inputs(folder: Path) -> Path:
    """Write a model whose inputs share a symbol."""
    g = GraphBuilder()
    x, y = g.input("x", ("batch", "length")), g.input("y", ("batch", "length"))
    path = folder / "two.onnx"
    write_model(g.model(g.node("Add", [x, y]), check=False), path)
    return path


def test_a_batch_is_one_and_other_symbols_need_numbers(tmp_path: Path) -> None:
    run(dense(tmp_path, batch="batch"))
    text = r"two\.onnx: input 'x' has symbolic shape \[batch,length\].*--input-shape x:N,N"
    with pytest.raises(OpenShapeError, match=text):
        run(two_inputs(tmp_path))


def test_inputs_that_share_a_symbol_follow_the_shape_of_one(tmp_path: Path) -> None:
    path = two_inputs(tmp_path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = feeds_for("two", session, onnx.load(path), {"y": (3, 7)})
    assert {name: array.shape for name, array in feeds.items()} == {"x": (3, 7), "y": (3, 7)}


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({"z": (1, 2)}, r"--input-shape z:1,2: the models' inputs are x, y"),
        ({"x": (1, 2, 3)}, r"--input-shape x:1,2,3: the input has 2 axes"),
        ({"x": (1, 2), "y": (1, 3)}, r"--input-shape y:1,3: 'length' is 2 in another input"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    tmp_path: Path, shapes: dict[str, tuple[int, ...]], text: str
) -> None:
    with pytest.raises(InputShapeError, match=text):
        run(two_inputs(tmp_path), settings=RaceSettings(rounds=1, shapes=shapes))


def test_a_fixed_axis_cannot_be_given_another_length(tmp_path: Path) -> None:
    with pytest.raises(InputShapeError, match=r"x:2,9: the model wants \[2, 8\]"):
        run(dense(tmp_path), settings=RaceSettings(rounds=1, shapes={"x": (2, 9)}))


def test_ids_cover_the_table_that_they_index(tmp_path: Path) -> None:
    g = GraphBuilder()
    ids = g.input("ids", (4, 50), np.int64)
    path = tmp_path / "table.onnx"
    write_model(g.model(g.node("Gather", [g.weight(9, 3), ids]), check=False), path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = feeds_for("table", session, onnx.load(path), {})
    assert set(feeds["ids"].reshape(-1)) == set(range(9))


def sparse(folder: Path) -> Path:
    path = folder / "sparse.onnx"
    weight = sparse_weight(5, 8)
    model = linear_case("fc", weight, pack_blocks(weight, 1), numbers(2, 8), numbers(5)).model()
    model.graph.output[0].name = model.graph.node[-1].output[0] = "result"
    write_model(model, path)
    return path


@needs_kernels
def test_models_with_our_operators_run_beside_others(tmp_path: Path) -> None:
    _, lowered = run(dense(tmp_path), sparse(tmp_path))
    assert lowered.agreement.compared == 1


def test_without_the_library_only_models_that_need_it_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = sparse(tmp_path)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "gone.so"))
    run(dense(tmp_path))
    with pytest.raises(KernelsMissingError, match=r"gone\.so"):
        run(lowered)


def test_infinities_and_gaps_at_the_same_places_do_not_differ() -> None:
    a = np.array([1.0, np.inf, np.nan], np.float32)
    assert agreement({"y": a}, {"y": a.copy()}, True).largest == 0.0
    gap = np.array([np.nan, np.inf, np.nan], np.float32)
    largest = agreement({"y": a}, {"y": gap}, True).largest
    assert largest is not None
    assert np.isnan(largest)


def test_outputs_that_fit_no_other_are_told_with_the_reason() -> None:
    ours = {"y": np.zeros(3, np.float32), "z": np.zeros(1), "s": [np.zeros(1)]}
    theirs = {"y": np.zeros(4, np.float32), "w": np.zeros(1), "s": [np.zeros(1)]}
    found = agreement(ours, theirs, True)
    assert found.compared == 0
    assert found.left == {
        "y": "it is float32 [4], the first model's float32 [3]",
        "w": "the first model has no such output",
        "s": "it is no tensor",
        "z": "the model has no such output",
    }
