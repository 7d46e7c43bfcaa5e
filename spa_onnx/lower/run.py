"""The way from a model with zeros to a file that runs on them, and back.

load ─ find ─ inputs ─ measure ─ choose ─ write ─ check ─ time
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from spa_onnx.checks import check_output, check_weights
from spa_onnx.errors import AlreadyLoweredError, NothingToLowerError
from spa_onnx.latency.measure import Stopwatch
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.lower.check import Agreement, check_lowered
from spa_onnx.lower.choose import Timed, choose
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.find import Found, find_layers
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.report import LowerReport, ModelTimes
from spa_onnx.lower.rewrite import lower_layers
from spa_onnx.lower.sizes import Shapes, make_inputs
from spa_onnx.lower.summary import layer_reports, weight_bytes
from spa_onnx.lower.table import Table, cache_folder, this_machine
from spa_onnx.lower.timing import time_layers, zeros_of
from spa_onnx.lower.trial import measure
from spa_onnx.lower.undo import is_lowered
from spa_onnx.lower.view import View
from spa_onnx.lower.whole import Contest, Level, times_of
from spa_onnx.normalise.graph import normalise
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.writer import pending_file
from spa_onnx.runtime.library import library_path
from spa_onnx.stages import Observer, Stages

WATCH = Stopwatch()
"""How long whole models are timed."""

NOTHING_PAYS = "no layer is faster packed on this machine, so the model was written as it is"
NOT_FASTER = "lowered, the whole model is not faster on this machine, so it was written as it is"


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
    loaded = _loaded(Path(model), Path(output), stages)
    with stages("find"):
        view = View.of(normalise(loaded))
        found = find_layers(view)
        zeros = zeros_of(view, found.layers)
    wanted = _wanted(loaded, found, zeros, config)
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
    run = _Run(loaded, view, found, zeros, timed, chosen, table, feeds, library, config, stages)
    return run.finish(Path(output), watch)


def _loaded(model: Path, output: Path, stages: Stages) -> LoadedModel:
    """Return the model to lower.

    Raises:
        AlreadyLoweredError: it is lowered.
    """
    check_output(model, output)
    with stages("load"):
        loaded = load(model)
    check_weights(loaded, output)
    if is_lowered(loaded.skeleton):
        raise AlreadyLoweredError(loaded.label)
    return loaded


def _wanted(
    loaded: LoadedModel, found: Found, zeros: dict[Layer, Zeros], config: LowerConfig
) -> list[Layer]:
    """Return layers with zeros enough, and depthwise ones.

    Raises:
        NothingToLowerError: there are none of the former.
    """
    wanted = [
        layer
        for layer in found.layers
        if layer.kind == "depthwise" or 1 - zeros[layer].density >= config.least_zeros
    ]
    if all(layer.kind == "depthwise" for layer in wanted):
        reasons = list(dict.fromkeys(f"{r.node}: {r.reason}" for r in found.refusals))[:3]
        raise NothingToLowerError(loaded.label, config.least_zeros, reasons)
    return wanted


@dataclass(frozen=True, slots=True)
class _Run:
    """What is known when the layers have been chosen."""

    loaded: LoadedModel
    view: View
    found: Found
    zeros: dict[Layer, Zeros]
    timed: Sequence[Timed]
    chosen: Sequence[Timed]
    table: Table
    feeds: dict[str, Any]
    library: Path
    config: LowerConfig
    stages: Stages

    def finish(self, target: Path, watch: Stopwatch) -> LowerReport:
        """Write the first model that is faster than the original, or the original itself."""
        times: list[ModelTimes] = []
        contest = self._contest(watch)
        level: Level | None = None
        for what, layers in self._attempts():
            with self.stages("rewrite"):
                rewritten = lower_layers(self.view, [t.lowering for t in layers])
            with ExitStack() as stack:
                with self.stages("write"):
                    file = stack.enter_context(self._pending(rewritten, target))
                with self.stages("check"):
                    agreement = self._check(file.path)
                with self.stages("time"):
                    level = level or self._level(contest)
                    times.append(times_of(contest.against(file.path, level), what))
                if self.config.force or times[-1].ratio < 1:
                    file.commit()
                    return self._report(rewritten, layers, times, agreement, ())
        with pending_file(self._original, self.loaded, target) as file:
            file.commit()
        note = NOT_FASTER if self.chosen else NOTHING_PAYS
        return self._report(self._original, (), times, Agreement(0.0, 1.0), (note,))

    def _attempts(self) -> Iterator[tuple[str, Sequence[Timed]]]:
        """Yield sets of layers to lower, the best by their own times first."""
        if self.chosen:
            yield f"{len(self.chosen)} layers", self.chosen
        kinds = {t.layer.kind == "linear" for t in self.chosen}
        if len(kinds) == 2:
            for linear, what in ((True, "linear layers"), (False, "convolutions")):
                part = [t for t in self.chosen if (t.layer.kind == "linear") == linear]
                yield f"{len(part)} {what}", part

    @property
    def _original(self) -> Rewritten:
        return Rewritten(self.loaded.skeleton, {}, ())

    def _pending(self, rewritten: Rewritten, target: Path) -> Any:
        return pending_file(rewritten, self.loaded, target, self.config.most_inside)

    def _check(self, path: Path) -> Agreement:
        original = self.loaded.path
        assert original is not None
        return check_lowered(original, path, self.feeds, self.config.threads, self.library)

    def _contest(self, watch: Stopwatch) -> Contest:
        original = self.loaded.path
        assert original is not None
        return Contest(original, self.feeds, self.config.threads, self.library, watch)

    def _level(self, contest: Contest) -> Level:
        """Return the optimisations with which the original is faster; they differ in planes."""
        has_planes = any(layer.kind != "linear" for layer in self.found.layers)
        return contest.best_level() if has_planes else "all"

    def _report(
        self,
        result: Rewritten,
        lowered: Sequence[Timed],
        times: Sequence[ModelTimes],
        agreement: Agreement,
        notes: tuple[str, ...],
    ) -> LowerReport:
        layers = layer_reports(
            self.found.layers,
            self.zeros,
            self.timed,
            {t.layer for t in self.chosen},
            {t.layer for t in lowered},
            self.config.least_zeros,
        )
        shapes = {n: tuple(a.shape) for n, a in self.feeds.items() if hasattr(a, "shape")}
        return LowerReport(
            layers,
            self.found.refusals,
            tuple(times),
            agreement.difference,
            agreement.tolerance,
            self.config.threads,
            shapes,
            self.table.measured,
            (weight_bytes(self.loaded.skeleton), weight_bytes(result.model)),
            notes,
            dict(self.stages.seconds),
        )
