"""The widths of a run: what the allocation says, or for a budget in latency what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from spa_onnx.algebra.expression import Dim, IntArray
from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.allocate.problem import Allocation, AllocationProblem, FloatArray
from spa_onnx.analyse.dims import Analysis
from spa_onnx.config import PruneConfig
from spa_onnx.inputs.batches import Batches
from spa_onnx.inputs.made_up import made_up
from spa_onnx.latency.machine import LocalMachine
from spa_onnx.latency.measure import Comparison
from spa_onnx.latency.search import Met, meet
from spa_onnx.load.model import LoadedModel
from spa_onnx.report.report import LatencyReport

Timing = Callable[[Path | bytes], LatencyReport]
"""Measures a model that is finished."""


def decide(
    problem: AllocationProblem,
    allocation: Allocation,
    machine: Callable[[], LocalMachine],
    tell: Callable[[int, int], None],
) -> tuple[IntArray, Timing | None]:
    """Return the kept width of every dim; for a budget in latency also what measures the result.

    Raises:
        BudgetError: no widths meet the budget.
    """
    if not isinstance(problem.budget, MaxLatency):
        return allocation.allocate(problem), None
    local = machine()
    met = meet(problem, allocation, local, tell)

    def timing(result: Path | bytes) -> LatencyReport:
        """Measure the result itself: a repair may have given it biases that it had not."""
        return _report(met, local, local.against(result))

    return met.widths, timing


def _report(met: Met, machine: LocalMachine, final: Comparison) -> LatencyReport:
    return LatencyReport(
        target=met.target,
        dense=met.dense,
        estimated=met.estimated,
        measured=final.ratio * met.dense,
        ratio=final.ratio,
        spread=final.spread,
        runs=len(final.pruned),
        rounds=met.rounds,
        threads=machine.threads,
        shapes=machine.shapes,
    )


def local_machine(
    loaded: LoadedModel,
    analysis: Analysis,
    scores: Mapping[Dim, FloatArray],
    config: PruneConfig,
    batches: Batches | None,
) -> LocalMachine:
    """Return this machine, which runs single items of the calibration inputs.

    Raises:
        CalibrationError: there are none, and none can be made up.
    """
    if batches is None:
        state = analysis.propagation
        batches = made_up(state, config.input_shapes, 1, config.seed, config.proof_memory)
    feeds = next(iter(batches.first(1)))
    return LocalMachine(loaded, analysis, scores, feeds, config.threads)
