"""Runs in turns, on a clock that models move themselves."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
import pytest

from spa_onnx.latency.measure import (
    FEWEST,
    LEAST_SESSIONS,
    MOST_SESSIONS,
    Comparison,
    Opened,
    Run,
    Stopwatch,
)


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


def opening(dense: Run, pruned: Run) -> Opened:
    @contextmanager
    def opened() -> Generator[tuple[Run, Run]]:
        yield dense, pruned

    return opened


def test_models_run_in_turns_and_first_runs_do_not_count() -> None:
    clock = Clock()
    watch = Stopwatch(warm_up=2, clock=clock)
    found = watch.compare(opening(clock.model("a", 0.004), clock.model("b", 0.001)))
    assert (
        clock.runs == (["a", "b"] * 2 + ["a", "b", "b", "a"] * (watch.least // 2)) * LEAST_SESSIONS
    )
    assert found.ratio == pytest.approx(0.25)
    assert found.before == pytest.approx(0.004)
    assert found.error == pytest.approx(0.0, abs=1e-9)
    assert found.spread == pytest.approx(0.0, abs=1e-9)


def test_noise_is_met_with_more_runs() -> None:
    clock = Clock()
    watch = Stopwatch(clock=clock)
    a, b = clock.model("a", 0.0004, 0.03), clock.model("b", 0.0002, 0.03)
    found = watch.compare(opening(a, b))
    assert watch.least < len(found.dense) < watch.most * LEAST_SESSIONS
    assert found.error <= watch.error
    assert found.ratio == pytest.approx(0.5, rel=0.01)


def by_session(clock: Clock, factors: list[float]) -> Opened:
    """Open models of which the second is slower by another factor each time."""
    left = iter(factors)

    @contextmanager
    def opened() -> Generator[tuple[Run, Run]]:
        yield clock.model("a", 0.004), clock.model("b", 0.002 * next(left))

    return opened


def test_sessions_that_differ_are_opened_more_often() -> None:
    clock = Clock()
    factors = [1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.0]
    found = Stopwatch(clock=clock).compare(by_session(clock, factors))
    assert len(found.sessions) > LEAST_SESSIONS
    assert found.ratio == pytest.approx(0.5, rel=0.006)
    alike = Stopwatch(clock=clock).compare(by_session(clock, [1.0] * MOST_SESSIONS))
    assert len(alike.sessions) == LEAST_SESSIONS


def test_a_ratio_far_from_the_goal_is_soon_certain_enough() -> None:
    clock = Clock()
    factors = [1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.0]
    found = Stopwatch(clock=clock).compare(by_session(clock, factors), goal=0.25)
    assert len(found.sessions) == LEAST_SESSIONS


def test_the_time_for_a_measurement_is_limited() -> None:
    clock = Clock()
    watch = Stopwatch(warm_up=0, clock=clock)
    found = watch.compare(opening(clock.model("a", 5.0), clock.model("b", 4.0)))
    assert len(found.dense) == FEWEST
    noisy = opening(clock.model("a", 0.05, 9.0), clock.model("b", 0.04, 9.0))
    found = watch.compare(noisy)
    assert found.dense.sum() + found.pruned.sum() < watch.seconds + 10


def test_a_clock_that_stands_still_is_no_division_by_zero() -> None:
    clock = Clock()
    both = opening(clock.model("a", 0.0), clock.model("b", 0.0))
    assert Stopwatch(clock=clock).compare(both).ratio == 1.0


def test_a_drift_of_the_machine_leaves_the_ratio_alone() -> None:
    load = np.linspace(1, 3, 99)
    assert Comparison(0.004 * load, 0.003 * load).ratio == pytest.approx(0.75)
