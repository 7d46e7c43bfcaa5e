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
from spa_onnx.calibrate.batches import Batches
from spa_onnx.calibrate.collect import LayerMoments
from spa_onnx.calibrate.distortion import DistortionMeter
from spa_onnx.calibrate.layers import layers_of
from spa_onnx.calibrate.made_up import made_up
from spa_onnx.calibrate.sources import read_calibration
from spa_onnx.compensate.model import repair_model
from spa_onnx.compensate.refit import Compensation
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.finish import Repair
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
        return found | {"moments"} if "distortion" in found else found

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
        statistics: with which ``model`` normalises in place of the stored ones.
    """

    loaded: LoadedModel
    analysis: Analysis
    model: onnx.ModelProto
    batches: Batches
    config: PruneConfig
    statistics: BatchStatistics = field(default_factory=BatchStatistics)
    _reader: ConsumerReader | None = None

    def reader(self) -> ConsumerReader:
        """Return what reads the consumers of dims."""
        if self._reader is None:
            moments = LayerMoments(
                self.model,
                self.loaded.weights,
                list(layers_of(self.analysis.propagation.graph)),
                self.batches,
                self.config.statistics_memory,
                self.config.seed,
                self.config.proof_memory,
            )
            self._reader = ConsumerReader(self.analysis, moments)
        return self._reader

    def distortion(self, scores: Mapping[Dim, FloatArray], cost: Costs) -> dict[int, FloatArray]:
        """Return curves of the outputs' distortion by dim."""
        sizes = np.array([d.dim.size for d in self.analysis.dims], np.int64)
        work = cost.operations.at(sizes) * 4 * max(1, len(sizes))
        affordable = int(COMPARED_WORK / max(1.0, work))
        few = self.batches.first(min(MOST_COMPARED, max(LEAST_COMPARED, affordable)))
        return DistortionMeter(self.analysis, self.reader(), few, DAMPING).curves(scores)

    def repair(self, compensation: Compensation) -> Repair:
        """Return what repairs the pruned model."""

        def run(pruned: LoadedModel, kept: Mapping[Dim, Kept]) -> tuple[Rewritten, RepairReport]:
            return repair_model(
                self.loaded,
                self.model,
                self.analysis,
                kept,
                pruned,
                self.batches,
                compensation,
                self.config,
                self._matched,
            )

        return run

    def _matched(self, part: onnx.ModelProto, lanes: KeptLanes) -> onnx.ModelProto:
        """Return a part of the pruned model with the statistics that ``model`` has."""
        return self.statistics.put_pruned(part, self.analysis.propagation, lanes)


def make_engine(
    loaded: LoadedModel, analysis: Analysis, config: PruneConfig, passes: Passes
) -> CalibrationEngine:
    """Return the engine of a run.

    Without calibration inputs some are made up, and every BatchNormalization takes their statistics
    in place of the stored ones.

    Raises:
        CalibrationError: the inputs do not fit the model, or none can be made up.
    """
    state = analysis.propagation
    given: Any = config.calibration
    if given is not None:
        batches = read_calibration(given, state, config.input_shapes)
        return CalibrationEngine(loaded, analysis, state.graph.model, batches, config)
    batches = made_up(state, config.input_shapes, None, config.seed)
    statistics = measure(state.graph.model, loaded.weights, batches, config.statistics_memory)
    model = statistics.put(state.graph.model)
    return CalibrationEngine(loaded, analysis, model, batches, config, statistics)
