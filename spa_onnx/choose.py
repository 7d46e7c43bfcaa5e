"""What goes: calibrate, score, allocate."""

from __future__ import annotations

from functools import partial

import numpy as np

from spa_onnx.allocate.problem import keep_best, make_problem
from spa_onnx.analyse.dims import Analysis
from spa_onnx.calibrate.engine import CalibrationEngine, Passes, make_engine
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.finish import Choice
from spa_onnx.latency.decide import decide, local_machine
from spa_onnx.load.model import LoadedModel
from spa_onnx.plain import plain_choice
from spa_onnx.score.dead import Runs
from spa_onnx.score.lift import Scores, notes_of, score
from spa_onnx.stages import Stages

UNUSED = (
    "the calibration inputs were not used: no pass of this run needs them; --importance obspa or "
    "--compensation ridge does",
)


def choose(
    loaded: LoadedModel,
    analysis: Analysis,
    cost: Costs,
    config: PruneConfig,
    passes: Passes,
    stages: Stages,
) -> Choice:
    """Return the lanes that stay, and what is to be done with the model that is made of them.

    Raises:
        BudgetError: the narrowest model is above the budget.
        CalibrationError: a pass needs runs of the model, and it does not run.
    """
    engine = None
    if passes.run_the_model:
        with stages("calibrate"):
            engine = make_engine(loaded, analysis, config, stages.part)
    with stages("score"):
        scores = _score(analysis, config, passes, engine)
    with stages("allocate"):
        worth, free, budget = scores.worth, scores.free, config.budget
        curves = engine.distortion(worth, cost) if engine and "distortion" in passes.needs else {}
        problem = make_problem(analysis, worth, cost, budget, config.align or 1, curves, free)
        batches = engine.batches if engine else None
        machine = partial(local_machine, loaded, analysis, worth, config, batches)
        widths, timing = decide(problem, passes.allocation, machine, stages.part)
        widths = np.minimum(widths, problem.widest)
        kept = keep_best(analysis, worth, widths)
    notes = engine.all_notes if engine else UNUSED if config.calibration is not None else ()
    return Choice(
        kept,
        engine.repair(passes.compensation) if engine else None,
        plain_choice(analysis, cost, config, widths) if engine else {},
        timing,
        notes + notes_of(scores, kept),
    )


def _score(
    analysis: Analysis, config: PruneConfig, passes: Passes, engine: CalibrationEngine | None
) -> Scores:
    if engine is None:
        return score(analysis, passes.importance, config.seed)
    reader = engine.reader() if "moments" in passes.needs else None
    runs = None
    if config.calibration is not None:
        runs = Runs(engine.variances(), passes.compensation is not None)
    return score(analysis, passes.importance, config.seed, reader, runs)
