"""Calls that users write; checked by mypy --strict, never run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

import spa_onnx
from spa_onnx import KeepFlops, KeepParams, PruneConfig, Ratio
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.score.weights import DimWeights


@dataclass(frozen=True, slots=True)
class Spread:
    """An importance pass of one's own."""

    power: float = 1.0

    def score(self, weights: DimWeights, rng: np.random.Generator) -> NDArray[np.float64]:
        noise = rng.random(weights.units)
        return np.asarray(weights.total(np.abs, "produces") ** self.power + 1e-9 * noise)


@dataclass(frozen=True, slots=True)
class Quarter:
    """An allocation pass of one's own."""

    def allocate(self, problem: AllocationProblem) -> NDArray[np.int64]:
        return np.maximum(1, problem.sizes // 4)


def prune_files() -> None:
    spa_onnx.prune("model.onnx")
    spa_onnx.prune(Path("model.onnx"), PruneConfig(Ratio(0.3)), output="small.onnx")
    spa_onnx.prune("model.onnx", PruneConfig(KeepFlops(0.5), align=8), output=Path("small.onnx"))
    spa_onnx.prune("model.onnx", observer=print)


def prune_a_message(model: onnx.ModelProto) -> onnx.ModelProto:
    config = PruneConfig(
        budget=KeepParams(0.5),
        importance="l1",
        allocation="global",
        exclude=("head.*", "embedding"),
        input_shapes={"x": (1, 3, 224, 224)},
        seed=3,
        verify=False,
    )
    result: spa_onnx.PruneResult = spa_onnx.prune(model, config)
    result.save("small.onnx")
    small: onnx.ModelProto = result.model
    return small


def use_own_passes(model: onnx.ModelProto) -> None:
    spa_onnx.prune(model, PruneConfig(importance=Spread(2.0), allocation=Quarter()))


def read_the_report(model: onnx.ModelProto) -> tuple[int, int, str]:
    report: spa_onnx.PruneReport = spa_onnx.prune(model).report
    seconds: Mapping[str, float] = report.seconds
    proof: spa_onnx.Proof | None = report.proof
    if proof is not None:
        largest: float = proof.largest
        print(largest, proof.power, *(d.tensor for d in proof.outputs))
    names: list[str] = [d.name for d in report.dims if d.after < d.before]
    reasons: list[str] = [reason for r in report.refusals for reason in r.reasons]
    print(names, reasons, sum(seconds.values()))
    return report.before.parameters, report.after.operations, report.to_json()


def replay(model: onnx.ModelProto, other: onnx.ModelProto) -> spa_onnx.Proof:
    plan: spa_onnx.Plan = spa_onnx.prune(model).plan
    Path("plan.json").write_text(plan.to_json(), encoding="utf-8")
    small = spa_onnx.apply(other, "plan.json", output="small.onnx", verify=True)
    return spa_onnx.verify(other, small.model, plan, seed=1)


def look_first(model: onnx.ModelProto) -> list[str]:
    analysis: spa_onnx.Analysis = spa_onnx.analyze(
        model, exclude=("head.*",), input_shapes={"x": (1, 3, 224, 224)}
    )
    widths: dict[str, int] = {d.name: d.dim.size for d in analysis.dims}
    return [*widths, *(f"{f.tensor} {f.axis}" for f in analysis.fixed)]


def handle_errors(model: str) -> int:
    try:
        spa_onnx.prune(model)
    except spa_onnx.BudgetError as error:
        return error.exit_code
    except (spa_onnx.ModelError, spa_onnx.UsageError) as error:
        print(error)
        return type(error).exit_code
    except spa_onnx.SpaError:
        raise
    return 0


def choose_a_budget(flops: bool, share: float) -> spa_onnx.Budget:
    return KeepFlops(share) if flops else KeepParams(share)
