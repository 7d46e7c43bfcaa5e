"""Write the first model that is faster than the original, or the original itself.

rewrite ─ write ─ check ─ time
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from spa_onnx.load.model import LoadedModel
from spa_onnx.lower.check import Agreement
from spa_onnx.lower.choose import Timed
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.find import Found
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.report import LowerReport, ModelTimes
from spa_onnx.lower.rewrite import lower_layers
from spa_onnx.lower.sizes import Feeds
from spa_onnx.lower.summary import layer_reports, weight_bytes
from spa_onnx.lower.view import View
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.rewrite.writer import pending_file
from spa_onnx.stages import Stages

NOTHING_PAYS = "no layer is faster packed on this machine, so the model was written as it is"
NOT_FASTER = "lowered, the whole model is not faster on this machine, so it was written as it is"


class Judge(Protocol):
    """Runs lowered models."""

    def agreement(self, lowered: Path) -> Agreement:
        """Return how far a model is from the original.

        Raises:
            LoweredDiffersError: too far.
        """
        ...

    def times(self, lowered: Path, what: str) -> ModelTimes | None:
        """Return what a model with some layers lowered takes.

        None where the original cannot be run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What is known when the layers have been chosen.

    Attributes:
        loaded: the original.
        view: of its graph.
        found: its products.
        zeros: of their weights.
        timed: layers that were measured, or that there were no means to measure.
        chosen: those of them to lower.
        feeds: inputs that models are run on.
        measured: how many layers were measured in this run.
        judge: runs models; None where there is nothing to run them on.
        config: options.
        stages: told of each stage.
        device: the GPU; "" for none.
        notes: for the reader.
    """

    loaded: LoadedModel
    view: View
    found: Found
    zeros: Mapping[Layer, Zeros]
    timed: Sequence[Timed]
    chosen: Sequence[Timed]
    feeds: Feeds
    measured: int
    judge: Judge | None
    config: LowerConfig
    stages: Stages
    device: str = ""
    notes: tuple[str, ...] = ()

    def finish(self, target: Path) -> LowerReport:
        """Write the first set of layers with which the model is faster, or the original."""
        times: list[ModelTimes] = []
        for what, layers in self._attempts():
            with self.stages("rewrite"):
                rewritten = lower_layers(self.view, [t.lowering for t in layers])
            with ExitStack() as stack:
                with self.stages("write"):
                    file = stack.enter_context(self._pending(rewritten, target))
                agreement, taken = self._judged(file.path, what)
                times += [taken] if taken is not None else []
                if self.config.force or (taken is not None and taken.ratio < 1):
                    file.commit()
                    return self._report(rewritten, layers, times, agreement, self.notes)
        with pending_file(self._original, self.loaded, target) as file:
            file.commit()
        notes = (*self.notes, NOT_FASTER if self.chosen else NOTHING_PAYS)
        return self._report(self._original, (), times, Agreement(0.0, 1.0), notes)

    def _judged(self, lowered: Path, what: str) -> tuple[Agreement | None, ModelTimes | None]:
        """Return how far a model is from the original, and what it takes."""
        if self.judge is None:
            return None, None
        with self.stages("check"):
            agreement = self.judge.agreement(lowered)
        with self.stages("time"):
            return agreement, self.judge.times(lowered, what)

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

    def _report(
        self,
        result: Rewritten,
        lowered: Sequence[Timed],
        times: Sequence[ModelTimes],
        agreement: Agreement | None,
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
            agreement.difference if agreement else None,
            agreement.tolerance if agreement else None,
            self.config.threads,
            shapes,
            self.measured,
            (weight_bytes(self.loaded.skeleton), weight_bytes(result.model)),
            notes,
            dict(self.stages.seconds),
            self.config.target,
            self.device,
        )
