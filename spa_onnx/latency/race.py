"""Time whole models against each other: sessions side by side, runs in turns, ratios by round.

The first model is what the others are compared with. The load of a machine changes within seconds,
so only runs of the same round are divided by each other. Models evict each other's weights from the
caches, and every round begins with another model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from spa_onnx.errors import TimedModelError
from spa_onnx.execute.session import run_options
from spa_onnx.latency.entry_inputs import Feeds, check_names, feeds_for
from spa_onnx.latency.options import timed_options
from spa_onnx.latency.same_outputs import Agreement, agreement
from spa_onnx.load.model import load
from spa_onnx.runtime.library import KernelsMissingError
from spa_onnx.runtime.session import add_operators

FloatArray = NDArray[np.float64]

DOMAIN = "ai.spa"


@dataclass(frozen=True, slots=True)
class RaceSettings:
    """How models are timed.

    Attributes:
        threads: that a node may use.
        rounds: runs of every model that count, in each of its sessions.
        warm_up: rounds before them.
        sessions: how often all models are opened; where a session's tensors lie in memory moves
            small models by a percent.
        binding: whether inputs and outputs are bound once, instead of passed with each run.
        shapes: of inputs with symbolic axes.
    """

    threads: int = 1
    rounds: int = 30
    warm_up: int = 3
    sessions: int = 1
    binding: bool = False
    shapes: Mapping[str, tuple[int, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Racer:
    """One model and its runs.

    Attributes:
        path: as it was given.
        load_seconds: to open the first session.
        wall: seconds of every run, ``(runs,)``.
        cpu: seconds of the processor that the process used meanwhile, ``(runs,)``.
        agreement: of its outputs with those of the first model.
    """

    path: Path
    load_seconds: float
    wall: FloatArray
    cpu: FloatArray
    agreement: Agreement


@dataclass(slots=True)
class _Opened:
    """A model in a session, ready to run."""

    session: ort.InferenceSession
    feeds: Feeds
    run: Callable[[], object]
    seconds: float


def race(paths: Sequence[Path], settings: RaceSettings, tell: Callable[[str], None]) -> list[Racer]:
    """Open all models and run them in turns.

    Raises:
        ModelError: one cannot be read, loaded, fed or run.
        KernelsMissingError: one has operators of ``ai.spa`` and there is no library.
    """
    skeletons = [load(path).skeleton for path in paths]
    parts: list[FloatArray] = []
    seconds: list[float] = []
    agreed: list[Agreement] = []
    for number in range(settings.sessions):
        tell(f"open, {number + 1} of {settings.sessions}")
        opened = _open_all(paths, skeletons, settings)
        if not number:
            seconds = [one.seconds for one in opened]
            outputs = [_outputs(path, one) for path, one in zip(paths, opened, strict=True)]
            agreed = [
                agreement(outputs[0], found, same_inputs(opened[0].feeds, one.feeds))
                for one, found in zip(opened, outputs, strict=True)
            ]
        tell(f"run, {number + 1} of {settings.sessions}")
        parts.append(_turns([one.run for one in opened], settings))
        del opened  # before the next ones take their memory
    times = np.concatenate(parts)
    return [
        Racer(path, seconds[k], times[:, k, 0], times[:, k, 1], agreed[k])
        for k, path in enumerate(paths)
    ]


def same_inputs(ours: Feeds, theirs: Feeds) -> bool:
    """Say whether two models get the same; arrays follow from name, type and shape."""
    return {n: (a.dtype, a.shape) for n, a in ours.items()} == {
        n: (a.dtype, a.shape) for n, a in theirs.items()
    }


def _open_all(
    paths: Sequence[Path], skeletons: Sequence[onnx.ModelProto], settings: RaceSettings
) -> list[_Opened]:
    sessions = []
    for path, skeleton in zip(paths, skeletons, strict=True):
        start = time.perf_counter()
        session = _open(path, skeleton, settings.threads)
        sessions.append((session, time.perf_counter() - start))
    shapes = settings.shapes or {}
    check_names(shapes, [session for session, _ in sessions])
    opened = []
    for path, skeleton, (session, seconds) in zip(paths, skeletons, sessions, strict=True):
        feeds = feeds_for(str(path), session, skeleton, shapes)
        run = _bound(session, feeds) if settings.binding else _plain(session, feeds)
        opened.append(_Opened(session, feeds, _or_refused(path, run), seconds))
    return opened


def _open(path: Path, skeleton: onnx.ModelProto, threads: int) -> ort.InferenceSession:
    """Open a model in a session that knows our operators.

    Without a library a model that has none of them is opened all the same.
    """
    options = timed_options(threads)
    try:
        add_operators(options)
    except KernelsMissingError:
        if any(entry.domain == DOMAIN for entry in skeleton.opset_import):
            raise
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise TimedModelError(str(path), f"ONNX Runtime cannot load it: {failure}") from failure


def _or_refused(path: Path, run: Callable[[], object]) -> Callable[[], object]:
    def checked() -> object:
        try:
            return run()
        except Exception as failure:  # as above
            raise TimedModelError(str(path), f"ONNX Runtime cannot run it: {failure}") from failure

    return checked


def _plain(session: ort.InferenceSession, feeds: Feeds) -> Callable[[], object]:
    options = run_options()
    return lambda: session.run(None, feeds, options)


def _bound(session: ort.InferenceSession, feeds: Feeds) -> Callable[[], object]:
    """Bind inputs and outputs to memory that stays."""
    binding, options = session.io_binding(), run_options()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for entry in session.get_outputs():
        binding.bind_output(entry.name, "cpu")
    return lambda: session.run_with_iobinding(binding, options)


def _outputs(path: Path, opened: _Opened) -> dict[str, Any]:
    names = [entry.name for entry in opened.session.get_outputs()]
    run = _or_refused(path, _plain(opened.session, opened.feeds))
    values: Any = run()
    return dict(zip(names, values, strict=True))


def _turns(runs: Sequence[Callable[[], object]], settings: RaceSettings) -> FloatArray:
    """Run all models in turns; return ``(rounds, models, 2)``, seconds of wall and processor."""
    times = np.empty((settings.rounds, len(runs), 2))
    for number in range(-settings.warm_up, settings.rounds):
        for place in range(len(runs)):
            k = (place + number) % len(runs)
            cpu, wall = time.process_time(), time.perf_counter()
            runs[k]()
            taken = time.perf_counter() - wall, time.process_time() - cpu
            if number >= 0:
                times[number, k] = taken
    return np.maximum(times, RESOLUTION)


RESOLUTION = 1e-9
"""Seconds that any run takes; clocks may stand still."""
