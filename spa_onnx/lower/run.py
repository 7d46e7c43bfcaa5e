"""The way from a model with zeros to a file that runs on them, and back.

load ─ find ─ inputs ─ measure ─ choose ─ write ─ check ─ time
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spa_onnx.latency.measure import Stopwatch
from spa_onnx.lower.begin import load_original, wanted_layers
from spa_onnx.lower.check import Agreement, check_lowered
from spa_onnx.lower.choose import choose
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.cuda.run import lower_for_cuda
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.finish import Decided
from spa_onnx.lower.report import LowerReport, ModelTimes
from spa_onnx.lower.sizes import Shapes, make_inputs
from spa_onnx.lower.table import Table, cache_folder, this_machine
from spa_onnx.lower.timing import time_layers, zeros_of
from spa_onnx.lower.trial import measure
from spa_onnx.lower.view import View
from spa_onnx.lower.whole import Contest, Level, times_of
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.library import library_path
from spa_onnx.stages import Observer, Stages

WATCH = Stopwatch()
"""How long whole models are timed."""


def lower(
    model: str | Path,
    output: str | Path,
    config: LowerConfig | None = None,
    observer: Observer | None = None,
    watch: Stopwatch = WATCH,
) -> LowerReport:
    """Write a model whose sparse products are done by kernels that skip zeros, where that pays.

    Args:
        model: path of an ONNX file.
        output: where to write.
        config: options.
        observer: told of each stage.
        watch: times whole models.

    Raises:
        SpaError: see :mod:`spa_onnx.errors`; nothing is written then.
    """
    config = config or LowerConfig()
    stages = Stages(observer)
    if config.target == "cuda":
        return lower_for_cuda(Path(model), Path(output), config, stages, watch)
    loaded = load_original(Path(model), Path(output), stages)
    with stages("find"):
        view = View.of(normalise(loaded))
        found = find_layers(view)
        zeros = zeros_of(view, found.layers)
    wanted = wanted_layers(loaded.label, found, zeros, config.least_zeros)
    library = library_path()
    with stages("inputs"):
        feeds = make_inputs(view.graph, config)
        shapes = Shapes.of(view, feeds)
    machine = this_machine(config.threads, library)
    measured = partial(measure, threads=config.threads, library=library)
    folder = config.cache or cache_folder()
    table = Table.opened(machine, folder, measured, fresh=config.fresh)
    with stages("measure"):
        timed = time_layers(view, zeros, wanted, shapes, table, stages.part)
    chosen = choose(view, timed, shapes, force=config.force)
    assert loaded.path is not None
    contest = Contest(loaded.path, feeds, config.threads, library, watch)
    judge = _Judge(contest, any(layer.kind != "linear" for layer in found.layers))
    decided = Decided(
        loaded, view, found, zeros, timed, chosen, feeds, table.measured, judge, config, stages
    )
    return decided.finish(Path(output))


@dataclass(slots=True)
class _Judge:
    """Runs models on the processor.

    Attributes:
        contest: times them.
        has_planes: there are convolutions, which the runtime computes in one of two layouts.
        level: optimisations with which the original is faster, once that is known.
    """

    contest: Contest
    has_planes: bool
    level: Level | None = None

    def agreement(self, lowered: Path) -> Agreement:
        """Return how far a model is from the original."""
        given = self.contest
        return check_lowered(given.original, lowered, given.feeds, given.threads, given.library)

    def times(self, lowered: Path, what: str) -> ModelTimes:
        """Return what a model with some layers lowered takes."""
        if self.level is None:
            self.level = self.contest.best_level() if self.has_planes else "all"
        return times_of(self.contest.against(lowered, self.level), what)
