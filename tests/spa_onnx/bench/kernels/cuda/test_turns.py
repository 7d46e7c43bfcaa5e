from dataclasses import replace

import numpy as np
import pytest

from spa_onnx.bench.kernels.cuda.turns import MOST_COPIES, MOST_RUNS, Turn, copies_of, in_turns
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import DEVICE, FakeRunner


def test_copies_fill_the_cache_twice_beside_the_one_that_runs() -> None:
    cache = DEVICE.cache
    assert copies_of(cache, DEVICE) == 3
    assert copies_of(100 * cache, DEVICE) == 2
    assert copies_of(cache // 10, DEVICE) == 1 + 21
    assert copies_of(1, DEVICE) == MOST_COPIES
    assert copies_of(1 << 20, replace(DEVICE, cache=0)) == 1


def test_a_turn_is_as_long_as_asked_and_takes_all_copies_equally_often() -> None:
    runner = FakeRunner("it", lambda _: 10.0, 3)
    turn = Turn.warmed(runner, 3, 1e-3)
    assert runner.asked == [3, 3]  # what the first one takes does not count
    assert turn.runs == 3 * 34
    assert turn.time() == pytest.approx(10e-6)
    assert runner.asked[-1] == turn.runs


def test_a_clock_that_stands_still_makes_no_endless_graph_and_no_zero() -> None:
    turn = Turn.warmed(FakeRunner("it", lambda _: 0.0, 7), 7, 1e-3)
    assert turn.runs == MOST_RUNS // 7 * 7
    assert turn.time() > 0


def test_every_round_begins_with_another_one() -> None:
    order: list[str] = []

    def runner(name: str) -> tuple[FakeRunner, int]:
        def clock(asked: int) -> float:
            order.extend([name] if asked > 1 else [])
            return 1.0

        return FakeRunner(name, clock, 1), 1

    found = in_turns({name: runner(name) for name in "abc"}, 3, 0.0)
    assert "".join(order) == "abc" + "bca" + "cab"
    for times in found.values():
        np.testing.assert_allclose(times, [1e-6] * 3)
