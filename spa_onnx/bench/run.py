"""Run a list of models: what has a result is skipped, the rest runs in parallel processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spa_onnx.bench.identity import Compiler, content_of
from spa_onnx.bench.job import Job
from spa_onnx.bench.processes import Processes, take_turn
from spa_onnx.bench.result import Key, Result
from spa_onnx.bench.store import Store


@dataclass(frozen=True, slots=True)
class Settings:
    """How models are run.

    Attributes:
        ratio: share of every dim that goes.
        importance: names of passes; every model runs once with each.
        proved: whether the proof is on.
        jobs: processes at a time.
        limit: seconds for one process.
        memory_limit: bytes for one process; 0 without a limit.
        scratch: where results lie for a moment; None takes the system's place.
        again: run models again that have a result.
    """

    ratio: float
    importance: tuple[str, ...]
    proved: bool
    jobs: int
    limit: float
    memory_limit: int
    scratch: Path | None
    again: bool


class Observer(Protocol):
    """Told of every model."""

    def started(self, model: str) -> None:
        """Note that a process starts; called from several threads."""
        ...

    def ended(self, result: Result, known: bool) -> None:
        """Note a result, and whether an earlier run left it."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """One model with one pass."""

    model: str
    path: Path
    importance: str


def run_all(
    turns: Sequence[Turn],
    settings: Settings,
    compiler: Compiler,
    store: Store,
    observer: Observer,
) -> dict[Turn, Result]:
    """Return the result of every turn; each is in the store as soon as it is there.

    Raises:
        BenchFileError: the store cannot be written.
    """
    processes = Processes()
    pool = ThreadPoolExecutor(settings.jobs)
    take = _taker(processes, settings, compiler, store, observer)
    found: dict[Turn, Result] = {}
    try:
        futures: dict[Future[tuple[Result, bool]], Turn] = {
            pool.submit(take, turn): turn for turn in turns
        }
        for future in as_completed(futures):
            result, known = future.result()
            if not known:
                store.add(result)
            found[futures[future]] = result
            observer.ended(result, known)
    finally:
        processes.stop()
        pool.shutdown(cancel_futures=True)
    return found


def _taker(
    processes: Processes,
    settings: Settings,
    compiler: Compiler,
    store: Store,
    observer: Observer,
) -> Callable[[Turn], tuple[Result, bool]]:
    """Return a function that runs a turn, or finds its result."""

    def take(turn: Turn) -> tuple[Result, bool]:
        content = content_of(turn.path)
        key = Key(
            content.digest,
            settings.ratio,
            turn.importance,
            settings.proved,
            compiler.version,
            compiler.libraries,
        )
        if content.digest and not settings.again:
            known = store.find(key, settings.limit, settings.memory_limit)
            if known is not None:
                return known, True
        observer.started(turn.model)
        start = time.perf_counter()
        model = str(turn.path.absolute())
        job = Job(model, settings.ratio, turn.importance, settings.proved, settings.memory_limit)
        outcome, facts = take_turn(processes, job, settings.limit, settings.scratch)
        wall = time.perf_counter() - start
        result = Result(
            turn.model,
            key,
            outcome,
            facts,
            content.bytes,
            wall,
            settings.limit,
            settings.memory_limit,
            compiler.commit,
        )
        return result, False

    return take
