"""One unit of work: a model pruned by one recipe to one budget with one seed, and measured.

A unit is a value that any process can run; all that it needs are the files that it names.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from spa_onnx.allocate.budget import Budget, KeepFlops, KeepParams, KeepSize, MaxLatency, Ratio
from spa_onnx.bench.criteria.evaluate import find_evaluation
from spa_onnx.config import PruneConfig
from spa_onnx.errors import CalibrationError, SpaError
from spa_onnx.inputs.sources import read_calibration
from spa_onnx.latency.decide import local_machine
from spa_onnx.latency.measure import Comparison
from spa_onnx.load.model import load
from spa_onnx.pipeline import analyze, prune
from spa_onnx.recipe import parse_recipe

BudgetName = Literal["ratio", "keep-flops", "keep-params", "keep-size", "max-latency"]
BUDGETS: dict[str, Callable[[float], Budget]] = {
    "ratio": Ratio,
    "keep-flops": KeepFlops,
    "keep-params": KeepParams,
    "keep-size": KeepSize,
    "max-latency": lambda share: MaxLatency(share=share),
}


@dataclass(frozen=True, slots=True)
class Unit:
    """What to do.

    Attributes:
        model: path of the model.
        content: digest of its files, so that a changed model is another unit.
        recipe: name of the recipe in tables.
        text: its TOML.
        budget: kind of budget.
        amount: share that goes (ratio) or stays.
        seed: of the run.
        calibration: path of calibration inputs; empty for none.
        calibration_content: digest of these, likewise.
        evaluation: ``FILE.py:function`` or ``module:function``; empty for none.
        version: of spa-onnx.
    """

    model: str
    content: str
    recipe: str
    text: str
    budget: BudgetName
    amount: float
    seed: int
    calibration: str = ""
    calibration_content: str = ""
    evaluation: str = ""
    version: str = ""

    @property
    def key(self) -> str:
        """Return what names the unit in a file of results; paths alone do not count."""
        names = {"model": Path(self.model).name, "evaluation": Path(self.evaluation).name}
        parts = asdict(self) | names | {"calibration": ""}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a unit.

    Attributes:
        key: of the unit.
        model: file name of the model.
        recipe: name of the recipe.
        budget: kind of budget.
        amount: of the budget.
        seed: of the run.
        failure: why there is no result; empty where there is one.
        dense: score of the original; None without an evaluation.
        score: score of the result.
        distance: squared change of the outputs in shares of their variance, on the calibration
            inputs; None where no pass ran the model.
        operations: share that stayed.
        parameters: share that stayed.
        seconds: wall-clock time of the pruning, without the evaluation.
        dense_ms: milliseconds of a run of the original, median; of results that were made before
            it was measured, and where no inputs can be made up, None.
        latency_ms: of the result: the original's times the median ratio of runs in turns.
    """

    key: str
    model: str
    recipe: str
    budget: str
    amount: float
    seed: int
    failure: str
    dense: float | None
    score: float | None
    distance: float | None
    operations: float | None
    parameters: float | None
    seconds: float | None
    dense_ms: float | None = None
    latency_ms: float | None = None


def run_unit(unit: Unit) -> Outcome:
    """Prune and measure; what the model or the budget does not allow is an outcome."""
    try:
        evaluate = find_evaluation(unit.evaluation) if unit.evaluation else None
        with tempfile.TemporaryDirectory(prefix="spa-onnx-") as folder:
            output = Path(folder, "pruned.onnx")
            start = time.perf_counter()
            report = prune(unit.model, _config(unit), output=output).report
            seconds = time.perf_counter() - start
            dense = _score(unit.evaluation, unit.model, unit.content) if evaluate else None
            score = evaluate(str(output)) if evaluate else None
            timed = _timed(unit, output)
    except SpaError as failure:
        return _outcome(unit, failure=str(failure))
    before, after = report.before, report.after
    return _outcome(
        unit,
        dense=dense,
        score=score,
        distance=_finite(report.repair.after) if report.repair else None,
        operations=after.operations / max(1, before.operations),
        parameters=after.parameters / max(1, before.parameters),
        seconds=seconds,
        dense_ms=1e3 * timed.before if timed else None,
        latency_ms=1e3 * timed.before * timed.ratio if timed else None,
    )


@lru_cache
def _score(evaluation: str, model: str, content: str) -> float:
    """Return the score of an original, once in a process."""
    return find_evaluation(evaluation)(model)


def _timed(unit: Unit, output: Path) -> Comparison | None:
    """Time a result against its original, on one item of the calibration inputs."""
    config = _config(unit)
    loaded, analysis = load(unit.model), analyze(unit.model)
    try:
        given = config.calibration
        inputs = read_calibration(given, analysis.propagation) if given else None
        batches = inputs.batches if inputs else None
        machine = local_machine(loaded, analysis, {}, config, batches)
    except CalibrationError:
        return None
    return machine.against(output)


def _config(unit: Unit) -> PruneConfig:
    return PruneConfig.of_recipe(
        parse_recipe(unit.text, unit.recipe),
        budget=BUDGETS[unit.budget](unit.amount),
        calibration=Path(unit.calibration) if unit.calibration else None,
        seed=unit.seed,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _outcome(
    unit: Unit,
    *,
    failure: str = "",
    dense: float | None = None,
    score: float | None = None,
    distance: float | None = None,
    operations: float | None = None,
    parameters: float | None = None,
    seconds: float | None = None,
    dense_ms: float | None = None,
    latency_ms: float | None = None,
) -> Outcome:
    return Outcome(
        unit.key, Path(unit.model).name, unit.recipe, unit.budget, unit.amount, unit.seed,
        failure, dense, score, distance, operations, parameters, seconds,
        dense_ms, latency_ms,
    )  # fmt: skip


def failed(unit: Unit, why: str) -> Outcome:
    """Return the outcome of a unit whose process did not come back."""
    return _outcome(unit, failure=why)
