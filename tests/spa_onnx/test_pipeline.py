from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.allocate.problem import AllocationProblem
from spa_onnx.score.weights import DimWeights
from tests.builders import GraphBuilder


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    return g.model(g.conv(g.relu(x), 3))


def test_half_of_every_dim_goes_by_default() -> None:
    assert [d.after for d in spa_onnx.prune(chain()).report.dims] == [4]


def test_the_stages_are_told_and_timed(tmp_path: Path) -> None:
    seen: list[str] = []
    config = spa_onnx.PruneConfig(importance="l2")
    result = spa_onnx.prune(chain(), config, output=tmp_path / "out.onnx", observer=seen.append)
    order = ["load", "analyse", "score", "allocate", "rewrite", "write", "verify"]
    assert list(dict.fromkeys(seen)) == order
    assert set(result.report.seconds) == set(order)
    assert all(seconds >= 0 for seconds in result.report.seconds.values())


def test_a_pass_of_ones_own_needs_no_installation() -> None:
    @dataclass(frozen=True)
    class KeepFirst:
        def score(self, weights: DimWeights, rng: np.random.Generator) -> np.ndarray:
            return np.arange(weights.units, 0, -1.0)

    @dataclass(frozen=True)
    class KeepThree:
        def allocate(self, problem: AllocationProblem) -> np.ndarray:
            return np.full_like(problem.sizes, 3)

    config = spa_onnx.PruneConfig(importance=KeepFirst(), allocation=KeepThree())
    result = spa_onnx.prune(chain(), config)
    assert result.plan.cuts[0].keep == ((0, 1, 2),)
    assert "KeepFirst" in result.report.settings["importance"]


@pytest.mark.parametrize("budget", [spa_onnx.Ratio(0.3), spa_onnx.KeepFlops(0.5)])
def test_equal_runs_give_equal_files(budget: spa_onnx.Budget, tmp_path: Path) -> None:
    paths = [tmp_path / f"{k}.onnx" for k in (0, 1)]
    for path in paths:
        spa_onnx.prune(chain(), spa_onnx.PruneConfig(budget, "l2"), output=path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_pruning_twice_goes_on_where_the_first_run_stopped() -> None:
    once = spa_onnx.prune(chain()).model
    twice = spa_onnx.prune(once)
    assert [d.after for d in twice.report.dims] == [2]


def test_the_public_names_are_all_there() -> None:
    for name in spa_onnx.__all__:
        assert getattr(spa_onnx, name) is not None
    assert set(spa_onnx.__all__) <= set(dir(spa_onnx))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        spa_onnx.nothing  # noqa: B018
