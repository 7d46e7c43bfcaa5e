"""Units in real processes and on a real Dask cluster."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spa_onnx.bench.criteria.run import DIED, cluster, processes, run_units
from spa_onnx.bench.criteria.unit import Outcome, Unit
from spa_onnx.bench.lines import Lines
from spa_onnx.errors import BenchFileError, ClusterError
from spa_onnx.execute.session import threads_wanted


def ignore(outcome: Outcome, done: int, total: int) -> None:
    pass


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


def test_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with processes(2) as executor:
        assert executor.submit(threads_wanted).result() == 3
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with processes(2) as executor:
        assert executor.submit(threads_wanted).result() == 1
