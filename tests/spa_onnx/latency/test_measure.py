"""Runs in turns, on a clock that models move themselves."""

from collections.abc import Callable

import numpy as np
import pytest

from spa_onnx.latency.measure import FEWEST, Comparison, Stopwatch


class Clock:
    """A clock that stands still but for runs, and a record of these."""

    def __init__(self) -> None:
        self.now = 0.0
        self.runs: list[str] = []
        self._rng = np.random.default_rng(0)

    def __call__(self) -> float:
        return self.now

    def model(self, name: str, seconds: float, noise: float = 0.0) -> Callable[[], None]:
        def run() -> None:
            self.runs.append(name)
            self.now += seconds * (1 + noise * self._rng.exponential())

        return run


def test_models_run_in_turns_and_first_runs_do_not_count() -> None:
    clock = Clock()
    watch = Stopwatch(warm_up=2, clock=clock)
    found = watch.compare(clock.model("a", 0.004), clock.model("b", 0.001))
    assert clock.runs[:4] == ["a", "b"] * 2
    assert clock.runs[4:] == ["a", "b", "b", "a"] * (watch.least // 2)
    assert found.ratio == pytest.approx(0.25)
    assert found.before == pytest.approx(0.004)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert found.spread == pytest.approx(0.0, abs=1e-9)


def test_noise_is_met_with_more_runs() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    found = watch.compare(clock.model("a", 0.0004, 0.03), clock.model("b", 0.0002, 0.03))
    assert watch.least < len(found.dense) < watch.most
    assert found.error <= watch.error
    assert found.ratio == pytest.approx(0.5, rel=0.01)


def test_the_time_for_a_measurement_is_limited() -> None:
    clock = Clock()
    watch = Stopwatch(warm_up=0, clock=clock)
    found = watch.compare(clock.model("a", 5.0), clock.model("b", 4.0))
    assert len(found.dense) == FEWEST
    found = watch.compare(clock.model("a", 0.05, 9.0), clock.model("b", 0.04, 9.0))
    assert found.dense.sum() + found.pruned.sum() < watch.seconds + 10


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    clock = Clock()
    found = Stopwatch(clock=clock).compare(clock.model("a", 0.0), clock.model("b", 0.0))
    assert found.ratio == 1.0


def test_a_drift_of_the_machine_leaves_the_ratio_alone() -> None:
    load = np.linspace(1, 3, 99)
    assert Comparison(0.004 * load, 0.003 * load).ratio == pytest.approx(0.75)
