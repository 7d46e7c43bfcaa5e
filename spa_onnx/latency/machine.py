"""This machine: rewrites a model to some widths, opens it as a user would, and runs it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime as ort

from spa_onnx.algebra.expression import Dim, IntArray
from spa_onnx.allocate.problem import FloatArray, keep_best
from spa_onnx.analyse.dims import Analysis
from spa_onnx.errors import PrunedModelRefusedError, RuntimeRefusedError
from spa_onnx.execute.session import run_options
from spa_onnx.latency.features import NodeFeatures, node_features
from spa_onnx.latency.measure import Comparison, Run, Stopwatch
from spa_onnx.latency.model import LatencyModel, fit
from spa_onnx.latency.options import timed_options
from spa_onnx.latency.profile import read_profile, tag_nodes
from spa_onnx.load.model import LoadedModel
from spa_onnx.rewrite.apply import Rewritten, rewrite
from spa_onnx.rewrite.writer import pending_file

PROFILED, PROFILED_FEWEST, PROFILED_SECONDS = 30, 5, 15.0
"""Runs behind a profile: so many, or fewer where they take too long."""

WARM_UP = 3

WATCH = Stopwatch()
"""How long models are measured where nothing else is said."""

Feeds = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LocalMachine:
    """Runs models in ONNX Runtime on the processor, with its default optimisations.

    Attributes:
        loaded: the dense model.
        analysis: its dims.
        scores: of their lanes; which lanes a model keeps does not matter for its latency.
        feeds: inputs of every run.
        threads: that a node may use.
        watch: times runs.
    """

    loaded: LoadedModel
    analysis: Analysis
    scores: Mapping[Dim, FloatArray]
    feeds: Feeds
    threads: int = 1
    watch: Stopwatch = field(default_factory=lambda: WATCH)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the inputs of a run."""
        return {n: tuple(a.shape) for n, a in self.feeds.items() if hasattr(a, "shape")}

    def compare(self, widths: IntArray, goal: float | None = None) -> Comparison:
        """Time a model of these widths against the dense one; see :meth:`Stopwatch.compare`."""
        kept = keep_best(self.analysis, self.scores, widths)
        with _written(rewrite(self.analysis, kept), self.loaded) as path:
            return self.against(path, goal)

    def against(self, result: Path | bytes, goal: float | None = None) -> Comparison:
        """Time a model against the dense one."""
        with _written(Rewritten(self.loaded.skeleton, {}, ()), self.loaded) as path:

            @contextmanager
            def opened() -> Generator[tuple[Run, Run]]:
                dense = open_timed(path, self.threads, refused=partial(self._refused, "load"))
                pruned = open_timed(result, self.threads)
                yield (
                    _run(dense, self.feeds, partial(self._refused, "run")),
                    _run(pruned, self.feeds, PrunedModelRefusedError),
                )

            return self.watch.compare(opened, goal)

    def estimate(self, widths: Sequence[IntArray]) -> LatencyModel:
        """Return a model of the time from profiles at some widths, the dense ones first."""
        dims = [d.dim for d in self.analysis.dims]
        features = node_features(self.analysis.propagation, dims, self.feeds)
        return fit(features, widths, self._profiles(widths, features))

    def _profiles(
        self, widths: Sequence[IntArray], features: NodeFeatures
    ) -> list[dict[int, float]]:
        """Return microseconds by node for every choice of widths; runs take turns."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spa-onnx-")))
            sessions = []
            for k, chosen in enumerate(widths):
                model = rewrite(self.analysis, keep_best(self.analysis, self.scores, chosen))
                tag_nodes(model.model, features.numbers)
                path = stack.enter_context(_written(model, self.loaded))
                sessions.append(open_timed(path, self.threads, folder / f"{k}"))
            runs = [_run(session, self.feeds, PrunedModelRefusedError) for session in sessions]
            for run in runs * WARM_UP:
                run()
            start, done = time.perf_counter(), 0
            while done < PROFILED:
                for run in runs:
                    run()
                done += 1
                if done >= PROFILED_FEWEST and time.perf_counter() - start > PROFILED_SECONDS:
                    break
            files = [Path(session.end_profiling()) for session in sessions]
            return [read_profile(file, done, WARM_UP) for file in files]

    def _refused(self, stage: str, message: str) -> RuntimeRefusedError:
        return RuntimeRefusedError(self.loaded.label, stage, message)


def _run(session: ort.InferenceSession, feeds: Feeds, refused: Callable[[str], Exception]) -> Run:
    options = run_options()

    def run() -> None:
        try:
            session.run(None, dict(feeds), options)
        except Exception as failure:  # the runtime's exceptions have no common base of their own
            raise refused(str(failure)) from failure

    return run


@contextmanager
def _written(model: Rewritten, loaded: LoadedModel) -> Generator[Path]:
    """Write a model to a temporary folder."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spa-onnx-")))
        yield stack.enter_context(pending_file(model, loaded, folder / "model.onnx")).path


def open_timed(
    model: Path | bytes,
    threads: int,
    profile: Path | None = None,
    refused: Callable[[str], Exception] = PrunedModelRefusedError,
) -> ort.InferenceSession:
    """Open a model with the runtime's default optimisations."""
    options = timed_options(threads)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    source = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as failure:  # as above
        raise refused(str(failure)) from failure
