"""What passes asked for, made once: second moments, curves of distortion, repair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from spa_onnx.algebra.expression import Dim
from spa_onnx.allocate.problem import Allocation
from spa_onnx.analyse.dims import Analysis
from spa_onnx.calibrate.batch_norm import BatchStatistics, measure
from spa_onnx.calibrate.collect import LayerMoments
from spa_onnx.calibrate.distortion import DistortionMeter
from spa_onnx.calibrate.pair_moments import PairMoments
from spa_onnx.compensate.model import repair_model
from spa_onnx.compensate.refit import Compensation
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.errors import CalibrationError
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import RefusedError
from spa_onnx.finish import Repair
from spa_onnx.inputs.batches import Batches
from spa_onnx.inputs.made_up import made_up
from spa_onnx.inputs.sources import Tell, read_calibration
from spa_onnx.layers.find import layers_of
from spa_onnx.load.model import LoadedModel
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.plan.settings import default_allocation
from spa_onnx.registry import find_pass
from spa_onnx.report.report import RepairReport
from spa_onnx.rewrite.apply import Rewritten
from spa_onnx.score.consumers import ConsumerReader, FloatArray
from spa_onnx.score.protocol import Importance, Need, needs_of

MOST_COMPARED, LEAST_COMPARED = 128, 4
COMPARED_WORK = 2e12
"""Items whose outputs are compared for a curve: as many as so many multiply-adds allow."""

MOMENTS: frozenset[Need] = frozenset({"moments"})

DAMPING = 0.01
"""Ridge of the refits behind a curve, as a share of the mean variance."""


@dataclass(frozen=True, slots=True)
class Passes:
    """The passes of a run."""

    importance: Importance
    allocation: Allocation
    compensation: Compensation | None

    @staticmethod
    def of(config: PruneConfig) -> Passes:
        """Find the passes that a configuration names.

        Raises:
            UnknownPassError: there is none of this name.
        """
        repair = config.compensation
        return Passes(
            find_pass("importance", config.importance),
            find_pass("allocation", config.allocation or default_allocation(config)),
            None if repair is None else find_pass("compensation", repair),
        )

    @property
    def needs(self) -> frozenset[Need]:
        """Return what the passes need beside weights; curves are made of second moments."""
        found = needs_of(self.importance) | needs_of(self.allocation)
        return found | MOMENTS if "distortion" in found else found

    @property
    def run_the_model(self) -> bool:
        """Say whether a pass needs runs of the model."""
        return bool(self.needs) or self.compensation is not None


@dataclass(slots=True)
class CalibrationEngine:
    """Runs the dense model on inputs.

    Attributes:
        loaded: the dense model.
        analysis: its dims.
        model: its skeleton as it is run.
        batches: the inputs.
        config: options of the run.
        notes: what a user should know of the inputs.
        tell: told how far a run over the inputs is: what is done, of how much.
        statistics: with which ``model`` normalises in place of the stored ones.
    """

    loaded: LoadedModel
    analysis: Analysis
    model: onnx.ModelProto
    batches: Batches
    config: PruneConfig
    notes: tuple[str, ...] = ()
    tell: Tell | None = None
    statistics: BatchStatistics = field(default_factory=BatchStatistics)
    _reader: ConsumerReader | None = None

    def reader(self) -> ConsumerReader:
        """Return what reads the consumers of dims."""
        if self._reader is None:
            pairs = PairMoments(
                self.analysis,
                self.model,
                self.loaded.weights,
                self.batches,
                self.config.statistics_memory,
                self.config.proof_memory,
                self.tell,
            )
            moments = self._moments(self.config.statistics_memory)
            self._reader = ConsumerReader(self.analysis, moments, pairs)
        return self._reader

    @property
    def all_notes(self) -> tuple[str, ...]:
        """Return what a user should know of the inputs and of what was made of them."""
        return self.notes + (self._reader.moments.notes if self._reader is not None else ())

    def variances(self) -> LayerMoments:
        """Return means and variances of what layers see: of one cheap run, unless known anyway."""
        return self._moments(0) if self._reader is None else self._reader.moments

    def _moments(self, memory: int) -> LayerMoments:
        return LayerMoments(
            self.model,
            self.loaded.weights,
            list(layers_of(self.analysis.propagation.graph)),
            self.batches,
            memory,
            self.config.seed,
            self.config.proof_memory,
            self.tell,
        )

    def distortion(self, scores: Mapping[Dim, FloatArray], cost: Costs) -> dict[int, FloatArray]:
        """Return curves of the outputs' distortion by dim."""
        sizes = np.array([d.dim.size for d in self.analysis.dims], np.int64)
        work = cost.operations.at(sizes) * 4 * max(1, len(sizes))
        affordable = int(COMPARED_WORK / max(1.0, work))
        few = self.batches.first(min(MOST_COMPARED, max(LEAST_COMPARED, affordable)))
        return DistortionMeter(self.analysis, self.reader(), few, DAMPING, self.tell).curves(scores)

    def repair(self, compensation: Compensation | None) -> Repair:
        """Return what repairs the pruned model and compares its outputs."""

        def run(
            pruned: LoadedModel, kept: Mapping[Dim, Kept], plain: LoadedModel | None
        ) -> tuple[Rewritten | None, RepairReport]:
            return repair_model(
                self.loaded,
                self.model,
                self.analysis,
                kept,
                pruned,
                plain,
                self.batches,
                compensation,
                self.config,
                self._matched,
                self.tell,
            )

        return run

    def _matched(self, part: onnx.ModelProto, lanes: KeptLanes) -> onnx.ModelProto:
        """Return a part of the pruned model with the statistics that ``model`` has."""
        return self.statistics.put_pruned(part, self.analysis.propagation, lanes)


def make_engine(
    loaded: LoadedModel,
    analysis: Analysis,
    config: PruneConfig,
    tell: Tell | None = None,
) -> CalibrationEngine:
    """Return the engine of a run.

    Without calibration inputs some are made up, and every BatchNormalization takes their statistics
    in place of the stored ones.

    Raises:
        CalibrationError: the inputs do not fit the model, or none can be made up.
    """
    state = analysis.propagation
    given: Any = config.calibration
    if given is None:
        batches = made_up(state, config.input_shapes, config.samples, config.seed)
        statistics = measure(state.graph.model, loaded.weights, batches, config.statistics_memory)
        model = statistics.put(state.graph.model)
        return CalibrationEngine(
            loaded, analysis, model, batches, config, tell=tell, statistics=statistics
        )
    inputs = read_calibration(given, state, config.samples, config.preprocess, tell)
    model = state.graph.model
    _try(model, loaded, inputs.batches, config.proof_memory)
    return CalibrationEngine(loaded, analysis, model, inputs.batches, config, inputs.notes, tell)


def _try(model: onnx.ModelProto, loaded: LoadedModel, batches: Batches, memory: int) -> None:
    """Run the longest batch, so that what the model cannot run is told before any work.

    Raises:
        CalibrationError: ONNX Runtime does not run it.
    """
    outputs = [entry.name for entry in model.graph.output]
    longest = max(batches, key=lambda feeds: sum(np.asarray(a).size for a in feeds.values()))
    try:
        open_session(model, loaded.weights, outputs, memory=memory).run(outputs, longest)
    except RefusedError as failure:
        shapes = ", ".join(f"{n!r} {list(a.shape)}" for n, a in longest.items())
        raise CalibrationError(
            f"the model does not run on calibration inputs of {shapes}: {failure}. "
            "Check them in ONNX Runtime; --preprocess with `length = 128` cuts long texts"
        ) from failure
