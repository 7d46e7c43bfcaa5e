import time
from collections.abc import Callable

import numpy as np

from spa_onnx.bench.kernels.turns import RESOLUTION, clock_for, in_turns


def test_one_threads_own_time_is_taken_and_the_walls_for_more() -> None:
    assert clock_for(1) is time.thread_time
    assert clock_for(2) is time.perf_counter


def test_every_round_begins_with_another_one() -> None:
    ran: list[str] = []

    def runner(name: str) -> Callable[[], None]:
        return lambda: ran.append(name)

    in_turns({name: runner(name) for name in "abc"}, 3, 0.0, time.perf_counter)
    assert "".join(ran) == "aabbcc" + "abc" + "bca" + "cab"


def test_times_are_of_one_run() -> None:
    now = [0.0]

    def run() -> None:
        now[0] += 2.0
        time.sleep(0.001)

    found = in_turns({"a": run}, 4, 0.01, lambda: now[0])["a"]
    np.testing.assert_allclose(found, 2.0)


def test_a_clock_that_stands_still_gives_no_zero() -> None:
    found = in_turns({"a": lambda: None}, 2, 0.0, lambda: 1.0)["a"]
    np.testing.assert_array_equal(found, RESOLUTION)
