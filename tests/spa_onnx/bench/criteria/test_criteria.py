"""Recipes side by side, in real processes and on a real Dask cluster."""

import csv
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spa_onnx.bench.criteria.evaluate import find_evaluation
from spa_onnx.bench.criteria.plot import ABSCISSAS, draw
from spa_onnx.bench.criteria.run import DIED, cluster, processes, run_units
from spa_onnx.bench.criteria.table import as_csv, as_json, groups, markdown
from spa_onnx.bench.criteria.unit import Outcome, Unit, failed, run_unit
from spa_onnx.bench.lines import Lines
from spa_onnx.cli.criteria import units_of
from spa_onnx.errors import BenchFileError, ClusterError, EvaluationError
from spa_onnx.execute.session import threads_wanted
from tests.builders import GraphBuilder
from tests.spa_onnx.cli.commands import run, write_model

EVALUATION = f"{Path(__file__).with_name('evaluation.py')}:parameters"
L2 = '[importance]\npass = "l2"\n'


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    g = GraphBuilder()
    model = g.model(g.conv(g.relu(g.conv(g.input("x", (1, 3, 6, 6)), 16)), 4))
    path = tmp_path / "model.onnx"
    write_model(model, path)
    return Unit(str(path), "digest", "mine", L2, "ratio", 0.5, 0, evaluation=EVALUATION)


def ignore(outcome: Outcome, done: int, total: int) -> None:
    pass


def test_a_unit_is_pruned_and_scored(unit: Unit) -> None:
    outcome = run_unit(unit)
    assert outcome.failure == ""
    assert outcome.parameters is not None
    assert 0.4 < outcome.parameters < 0.6
    assert outcome.dense is not None
    assert outcome.score is not None
    assert outcome.dense < outcome.score < 0


def test_a_unit_is_timed_and_latency_may_be_its_budget(unit: Unit) -> None:
    outcome = run_unit(replace(unit, budget="max-latency", amount=1.0))
    assert outcome.failure == ""
    assert outcome.operations is not None
    assert 0 < outcome.operations <= 1.0
    assert outcome.dense_ms is not None
    assert outcome.latency_ms is not None
    assert min(outcome.dense_ms, outcome.latency_ms) > 0


def test_outcomes_from_before_latencies_were_measured_are_read(unit: Unit, tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    old = {k: v for k, v in asdict(failed(unit, "no")).items() if not k.endswith("_ms")}
    path.write_text(json.dumps(old) + "\n")
    (found,) = Lines(path, Outcome).found
    assert found == failed(unit, "no")
    assert found.latency_ms is None


def test_what_a_budget_does_not_allow_is_an_outcome(unit: Unit) -> None:
    outcome = run_unit(replace(unit, budget="keep-flops", amount=0.001))
    assert "operations" in outcome.failure
    assert outcome.score is None


def test_an_evaluation_that_fails_is_an_outcome(unit: Unit) -> None:
    for name in ("breaks", "nothing"):
        outcome = run_unit(replace(unit, evaluation=EVALUATION.replace("parameters", name)))
        assert "evaluation" in outcome.failure


def test_the_key_follows_content_and_not_paths(unit: Unit) -> None:
    assert replace(unit, model="/elsewhere/model.onnx").key == unit.key
    for changed in (
        replace(unit, content="other"),
        replace(unit, text=L2 + "# other\n"),
        replace(unit, amount=0.4),
        replace(unit, seed=1),
        replace(unit, version="2"),
        replace(unit, calibration_content="other"),
    ):
        assert changed.key != unit.key


def test_outcomes_survive_and_are_not_made_again(unit: Unit, tmp_path: Path) -> None:
    units = [replace(unit, seed=k) for k in range(3)]
    results = tmp_path / "results.jsonl"
    with processes(2) as executor:
        first = run_units(units[:2], executor, results, ignore)
    seen: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        second = run_units(
            units, executor, results, lambda o, done, total: seen.append(f"{o.seed} {done}/{total}")
        )
    assert seen == ["2 3/3"]
    assert second[:2] == first
    assert {o.key for o in Lines(results, Outcome).found} == {u.key for u in units}


def test_a_line_that_an_interrupted_run_left_is_dropped(unit: Unit, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    with ThreadPoolExecutor(1) as executor:
        run_units([unit], executor, results, ignore)
        with results.open("a") as file:
            file.write('{"key": "half')
        run_units([replace(unit, seed=1)], executor, results, ignore)
    assert len(Lines(results, Outcome).found) == 2


def test_another_file_is_refused(tmp_path: Path) -> None:
    for text in ('{"key": 3}\n', "hello\n", "[]\n"):
        (tmp_path / "r.jsonl").write_text(text)
        with pytest.raises(BenchFileError, match="line 1"):
            Lines(tmp_path / "r.jsonl", Outcome)


def test_a_file_of_something_else_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("one line without an end")
    with pytest.raises(BenchFileError, match="holds no results"):
        Lines(path, Outcome)
    assert path.read_text() == "one line without an end"


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot do it")
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    code = """
import os, sys, time
from spa_onnx.bench.criteria.run import processes
if __name__ == "__main__":
    with processes(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(time.sleep, 60)
        time.sleep(60)
"""
    script = tmp_path / "parent.py"
    script.write_text(code)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.kill()
    for _ in range(100):
        state = Path(f"/proc/{worker}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError(f"process {worker} lives on")


def _interrupted(futures: list[Future[Any]]) -> None:
    with processes(1) as executor:
        futures += [executor.submit(made) for made in (os.getpid, tempfile.mkdtemp)]
        assert Path(futures[1].result()).exists()
        futures += [executor.submit(time.sleep, 3600) for _ in range(3)]
        raise KeyboardInterrupt


def test_an_interrupted_bench_does_not_wait_for_what_is_left() -> None:
    futures: list[Future[Any]] = []
    with pytest.raises(KeyboardInterrupt):
        _interrupted(futures)
    assert futures[0].result() not in {child.pid for child in multiprocessing.active_children()}
    assert not Path(futures[1].result()).parent.exists()
    for future in futures[2:]:
        assert future.cancelled() or future.exception() is not None


class Dying(Executor):
    """Whatever it is given does not come back."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(RuntimeError("killed"))
        return future


def test_a_process_that_dies_is_a_row_and_tried_again(unit: Unit, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    (outcome,) = run_units([unit], Dying(), results, ignore)
    assert outcome.failure.startswith(DIED)
    with ThreadPoolExecutor(1) as executor:
        (again,) = run_units([unit], executor, results, ignore)
    assert again.failure == ""


def test_a_dask_cluster_runs_units_in_its_workers(unit: Unit, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as workers,
        cluster(workers.scheduler_address) as executor,
    ):
        units = [replace(unit, seed=k) for k in range(3)]
        found = run_units(units, executor, tmp_path / "results.jsonl", ignore)
    assert [o.seed for o in found] == [0, 1, 2]
    assert not any(o.failure for o in found)


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError("timed out")

    monkeypatch.setattr(distributed, "Client", refuse)
    with (
        pytest.raises(ClusterError, match=r"'tcp://nowhere:1' does not answer"),
        cluster("tcp://nowhere:1"),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("evaluate", "not of the form"),
        (":top1", "not of the form"),
        ("nowhere.py:top1", "cannot be loaded"),
        ("no.such.module:top1", "cannot be loaded"),
        ("math:top1", "no function 'top1'"),
    ],
)
def test_an_evaluation_that_is_none_says_why(name: str, problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        find_evaluation(name)


# -- tables ---------------------------------------------------------------------------------------


def outcomes() -> list[Outcome]:
    made = []
    for recipe, lost in (("l2", 10.0), ("ours", 2.0)):
        for amount in (0.7, 0.5):
            for seed, shift in enumerate((-1.0, 0.0, 1.0)):
                score = 90 - lost / amount + shift
                made.append(
                    Outcome(
                        f"{recipe}{amount}{seed}", "m.onnx", recipe, "keep-flops", amount, seed, "",
                        90.0, score, 0.25, amount, amount / 2, 3.0,
                    )
                )  # fmt: skip
    return made


def test_seeds_are_put_together() -> None:
    page = markdown(outcomes(), "spa-onnx bench criteria m.onnx", "versions")
    assert (
        "| m.onnx | keep-flops 0.5 | l2 | 70.00 ± 1.00 | 20.00 ± 1.00 | 0.2500 ± 0.0000 |" in page
    )
    assert page.count("3 of 3") == 4
    assert "Without a result" not in page


def test_failures_stand_below() -> None:
    one = replace(outcomes()[0], failure="no | budget", score=None, operations=None)
    page = markdown([one], "command", "versions")
    assert "0 of 1" in page
    assert r"no \| budget" in page.partition("Without a result")[2]


def test_csv_and_json_hold_every_outcome() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(outcomes()))))
    assert len(rows) == len(json.loads(as_json(outcomes()))) == 12
    assert rows[0]["score"] == str(outcomes()[0].score)


def test_a_picture_for_every_model(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    other = [replace(o, model="n.onnx", score=None, dense=None) for o in outcomes()]
    failed = replace(outcomes()[0], model="failed.onnx", failure="no")
    written = draw([*outcomes(), *other, failed], tmp_path / "plots")
    assert [p.name for p in written] == ["m.png", "n.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in written)
    assert len(groups(other)) == 4


def test_pictures_against_latency_leave_out_what_was_not_timed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    timed = [replace(o, dense_ms=4.0, latency_ms=3.0) for o in outcomes()]
    abscissa = ABSCISSAS["latency"]
    assert [abscissa.read(o) for o in timed] == [75.0] * 12
    assert abscissa.read(outcomes()[0]) is None
    (written,) = draw([*timed, *outcomes()], tmp_path / "plots", "latency")
    assert written.read_bytes().startswith(b"\x89PNG")


def test_latencies_stand_in_the_table() -> None:
    timed = [replace(o, dense_ms=4.0, latency_ms=3.0) for o in outcomes()]
    assert "| 4 | 3 | 3.0 | 3 of 3 |" in markdown(timed, "command", "versions")


# -- command line --------------------------------------------------------------------------------


def test_the_command_writes_tables_and_goes_on(unit: Unit, tmp_path: Path) -> None:
    table, data = tmp_path / "t.md", tmp_path / "t.csv"
    words = ["bench", "criteria", unit.model, "--recipe", "l1", "--recipe", "magnitude",
             "--budget", "ratio=0.25", "--results", str(tmp_path / "r.jsonl"),
             "--evaluate", EVALUATION]  # fmt: skip
    done = run(*words, "-o", str(table), "-o", str(data))
    assert done.exit_code == 0, done.stderr
    assert "| model.onnx | ratio 0.25 | l1 |" in table.read_text()
    assert len(data.read_text().splitlines()) == 3
    again = run(*words)
    assert "[" not in again.stderr
    assert "magnitude" in again.stdout


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--budget", "flops=0.5", "is none of ratio=0.5"),
        ("--budget", "ratio=x", "is none of ratio=0.5"),
        ("--budget", "ratio=2", "not in"),
        ("--recipe", "nothing", "is no recipe"),
        ("--recipe", "nothing.toml", "cannot be read"),
        ("--evaluate", "nothing.py:f", "cannot be loaded"),
        ("--calib", "nothing.npz", "no such file"),
        ("--output", "t.xlsx", r".md, .csv, .json"),
    ],
)
def test_wrong_options_are_errors_before_anything_runs(
    unit: Unit, option: str, value: str, problem: str
) -> None:
    done = run("bench", "criteria", unit.model, option, value)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_every_seed_may_have_calibration_inputs_of_its_own(unit: Unit, tmp_path: Path) -> None:
    for seed in range(2):
        np.save(tmp_path / f"x{seed}.npy", np.full((8, 4), seed + 1.5, np.float32))
    names, budgets = ("data-free", "obspa"), ("keep-flops=0.5",)
    units = units_of([Path(unit.model)], names, budgets, 2, tmp_path / "x{seed}.npy", "")
    assert [Path(u.calibration).name for u in units] == ["", "", "x0.npy", "x1.npy"]
    assert len({u.key for u in units}) == 4


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with processes(2) as executor:
        assert executor.submit(threads_wanted).result() == 3
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with processes(2) as executor:
        assert executor.submit(threads_wanted).result() == 1
