"""The loop of estimating and measuring, on machines whose latency is known."""

from typing import Any

import numpy as np
import pytest

from spa_onnx.algebra.expression import IntArray
from spa_onnx.allocate.budget import MaxLatency
from spa_onnx.errors import LatencyBudgetError
from spa_onnx.latency.search import MOST, Met, meet
from spa_onnx.passes.global_rank import GlobalRank
from spa_onnx.passes.rate_distortion import RateDistortion
from spa_onnx.passes.uniform import Uniform
from tests.spa_onnx.latency.synthetic import Latency, SyntheticMachine, chain, quadratic

SIZES = (64, 128, 128, 256, 256, 256, 64)
PASSES = (Uniform(), GlobalRank(), RateDistortion())
Pass = Uniform | GlobalRank | RateDistortion


def proportional(widths: IntArray) -> float:
    """Take time for operations alone."""
    return 1e-8 * quadratic(SIZES).at(widths)


def with_overhead(widths: IntArray) -> float:
    """Take a third of the original's time whatever the widths, and then for every lane."""
    return 5e-4 + proportional(widths) + 1e-7 * float(widths.sum())


def in_steps(widths: IntArray) -> float:
    """Compute whole vectors of sixteen lanes."""
    return 2e-4 + proportional(-(-widths // 16) * 16)


MACHINES: tuple[Latency, ...] = (proportional, with_overhead, in_steps)


def found(
    latency: Latency,
    budget: MaxLatency,
    allocation: Pass,
    align: int = 1,
    sizes: tuple[int, ...] = SIZES,
    **facts: Any,
) -> tuple[Met, SyntheticMachine]:
    machine = SyntheticMachine(latency, sizes, **facts)
    return meet(chain(sizes, budget, align), allocation, machine), machine


@pytest.mark.parametrize("share", [0.9, 0.5, 0.35])
@pytest.mark.parametrize("allocation", PASSES, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("latency", [proportional, with_overhead])
def test_a_share_is_met_within_a_percent(latency: Latency, allocation: Pass, share: float) -> None:
    if share == 0.35 and latency is with_overhead:
        share = 0.5
    met, machine = found(latency, MaxLatency(share=share), allocation)
    left = latency(met.widths) / latency(np.array(SIZES))
    assert 0.99 * share <= left <= share
    assert len(machine.measured) <= MOST + 1


def test_seconds_are_met_too() -> None:
    seconds = 0.6 * with_overhead(np.array(SIZES))
    met, _ = found(with_overhead, MaxLatency(seconds), RateDistortion())
    assert 0.99 * seconds <= with_overhead(met.widths) <= seconds
    assert met.target == pytest.approx(seconds)
    assert met.dense == pytest.approx(with_overhead(np.array(SIZES)))


@pytest.mark.parametrize("allocation", [GlobalRank(), RateDistortion()])
def test_a_staircase_ends_below_the_budget_and_a_step_wide_at_most(allocation: Pass) -> None:
    met, machine = found(in_steps, MaxLatency(share=0.5), allocation, align=16)
    dense = in_steps(np.array(SIZES))
    assert in_steps(met.widths) <= 0.5 * dense
    one_step = dense - in_steps(np.array(SIZES) - np.eye(7, dtype=int)[4] * 16)
    assert in_steps(met.widths) >= 0.5 * dense - one_step
    assert len(machine.measured) <= MOST + 1
    assert all(w % 16 == 0 for w in met.widths)


def test_noise_and_load_that_changes_hardly_matter() -> None:
    met, _ = found(with_overhead, MaxLatency(share=0.5), RateDistortion(), noise=0.05, drift=1.0)
    left = with_overhead(met.widths) / with_overhead(np.array(SIZES))
    assert 0.48 <= left <= 0.51


def test_a_latency_that_does_not_follow_widths_ends_with_what_is_fast_enough() -> None:
    def rugged(widths: IntArray) -> float:
        odd = 1.3 if int(widths.sum()) % 2 else 1.0
        return with_overhead(widths) * odd

    met, machine = found(rugged, MaxLatency(share=0.6), Uniform())
    assert rugged(met.widths) <= 0.6 * rugged(np.array(SIZES))
    assert len(machine.measured) <= MOST + 1


def test_where_kernels_change_with_widths_dims_of_two_models_are_mixed() -> None:
    """Whole vectors are computed twice as fast, so dims that shrink together jump too far."""
    sizes = (64,) * 40

    def by_vector(widths: IntArray) -> float:
        whole = widths % 16 == 0
        layers = widths[:-1] * widths[1:] * np.where(whole[:-1] & whole[1:], 1.0, 2.0)
        return 1e-8 * float(layers.sum())

    met, machine = found(by_vector, MaxLatency(share=0.5), Uniform(), sizes=sizes)
    left = by_vector(met.widths) / by_vector(np.array(sizes))
    assert 0.49 <= left <= 0.5
    assert len(machine.measured) <= MOST + 2


def test_no_model_is_measured_twice() -> None:
    _, machine = found(in_steps, MaxLatency(share=0.5), Uniform(), align=64)
    assert len(set(machine.measured)) == len(machine.measured)


@pytest.mark.parametrize("budget", [MaxLatency(share=1.0), MaxLatency(seconds=10.0)])
def test_a_budget_that_the_original_meets_removes_nothing(budget: MaxLatency) -> None:
    met, _ = found(with_overhead, budget, RateDistortion())
    assert met.widths.tolist() == list(SIZES)
    assert met.estimated == pytest.approx(met.dense)


def test_a_budget_out_of_reach_tells_what_the_narrowest_model_takes() -> None:
    least = with_overhead(np.ones(len(SIZES), np.int64))
    with pytest.raises(LatencyBudgetError, match=rf"still takes {1e3 * least:.4g} ms"):
        found(with_overhead, MaxLatency(seconds=1e-4), RateDistortion())


def test_the_estimate_is_on_the_scale_of_what_was_measured() -> None:
    met, _ = found(with_overhead, MaxLatency(share=0.5), RateDistortion())
    assert met.estimated == pytest.approx(with_overhead(met.widths), rel=0.1)
