"""Run units on an executor of ``concurrent.futures``, and keep every outcome as it comes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from spa_onnx.bench.criteria.unit import Outcome, Unit, failed, run_unit
from spa_onnx.bench.lines import Lines
from spa_onnx.errors import ClusterError
from spa_onnx.execute.session import THREADS

Observer = Callable[[Outcome, int, int], None]
"""Called with every outcome, how many units are done, and of how many."""

PR_SET_PDEATHSIG = 1
"""Source: Linux, include/uapi/linux/prctl.h."""

DIED = "its process died, or one beside it"
"""Failure that says nothing of the unit: another run tries it again."""


@contextmanager
def processes(jobs: int) -> Generator[Executor]:
    """Yield an executor of fresh local processes, which end with this one.

    Where the work is interrupted they end at once, with what they were at; a folder for all their
    temporary files goes afterwards.
    """
    context = multiprocessing.get_context("spawn")  # forked sessions of ONNX Runtime hang
    others = set(multiprocessing.active_children())
    before = os.environ.get(THREADS)
    if before is None and jobs > 1:
        os.environ[THREADS] = str(max(1, (os.cpu_count() or 1) // jobs))  # new processes read it
    try:
        with (
            TemporaryDirectory(prefix="spa-onnx-", ignore_cleanup_errors=True) as folder,
            ProcessPoolExecutor(jobs, context, _begin, (folder,)) as pool,
        ):
            try:
                yield pool
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in multiprocessing.active_children():
                    if worker not in others:
                        worker.kill()
                        worker.join()
                raise
    finally:
        if before is None:
            os.environ.pop(THREADS, None)


def _begin(folder: str) -> None:
    """Let this process keep its files in a folder, and end with its parent where systems can."""
    tempfile.tempdir = folder
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def cluster(address: str) -> Generator[Executor]:
    """Yield an executor on a running Dask cluster, whose workers see the same files.

    Raises:
        ClusterError: the extra is not installed, or nobody answers.
    """
    try:
        from distributed import Client
    except ImportError as failure:
        problem = "needs the extra: pip install 'spa-onnx[cluster]'"
        raise ClusterError(address, problem) from failure
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as failure:
        raise ClusterError(address, f"does not answer ({failure})") from failure
    with client:
        yield client.get_executor()  # type: ignore[no-untyped-call]


def run_units(
    units: Sequence[Unit], executor: Executor, results: Path, observer: Observer
) -> list[Outcome]:
    """Return an outcome for every unit; those that are in the file already are not run again.

    Raises:
        BenchFileError: the file cannot be read or written.
    """
    lines = Lines(results, Outcome)
    found = {outcome.key: outcome for outcome in lines.found}
    waiting: dict[Future[Outcome], Unit] = {}
    for unit in units:
        if unit.key not in found:
            waiting[executor.submit(run_unit, unit)] = unit
    done = len(units) - len(waiting)
    for future in as_completed(waiting):
        unit = waiting[future]
        try:
            outcome = future.result()
        except Exception as failure:  # processes and clusters each have their own
            outcome = failed(unit, f"{DIED}: {failure!r}")
        done += 1
        found[unit.key] = outcome
        if not outcome.failure.startswith(DIED):
            lines.add(outcome)
        observer(outcome, done, len(units))
    return [found[unit.key] for unit in units]
