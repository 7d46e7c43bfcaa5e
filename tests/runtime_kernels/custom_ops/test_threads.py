"""Sessions in several threads: operators keep nothing that a run changes for another one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import onnx
import pytest

from spa_onnx.doctor.op_models import Float32Array, OpCase
from spa_onnx.doctor.self_test import cases
from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels

pytestmark = needs_kernels

THREADS, RUNS = 4, 25

CHOSEN = (
    "blocks 1x1, 37 tokens",
    "blocks 16x1, 37 tokens",
    "bit mask, 1 token",
    "segments, 37 tokens",
    "1x1, blocks 1x1",
    "3x3, blocks 4x1",
    "3x3 depthwise",
)
CASES = [case for case in cases() if case.name in CHOSEN]


def open_model(model: onnx.ModelProto, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return session(model.SerializeToString(), sess_options=options)


def together(jobs: list[Callable[[], list[Float32Array]]]) -> list[list[Float32Array]]:
    """Do jobs in a thread each, all at once; an error of one is an error of all."""
    barrier = Barrier(len(jobs))

    def start(job: Callable[[], list[Float32Array]]) -> list[Float32Array]:
        barrier.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(start, jobs))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_of_one_model_in_several_threads_give_the_same(case: OpCase, threads: int) -> None:
    model, feeds = case.model(), case.feeds()
    (expected,) = open_model(model, threads).run(None, feeds)
    assert case.error(expected) <= 1.0

    def job() -> list[Float32Array]:
        opened = open_model(model, threads)
        return [opened.run(None, feeds)[0] for _ in range(RUNS)]

    for found in together([job] * THREADS):
        for y in found:
            np.testing.assert_array_equal(y, expected)


def with_open_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose tokens or images may be any number."""
    for entry in (*model.graph.input, *model.graph.output):
        entry.type.tensor_type.shape.dim[0].dim_param = "batch"
    return model


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("threads", [1, 2])
def test_one_session_in_several_threads_takes_another_batch_in_each(
    case: OpCase, threads: int
) -> None:
    opened = open_model(with_open_batch(case.model()), threads)
    batches = [
        {name: np.concatenate([array] * n) for name, array in case.feeds().items()}
        for n in range(1, THREADS + 1)
    ]
    alone = [opened.run(None, feeds)[0] for feeds in batches]

    def job(feeds: dict[str, Float32Array]) -> Callable[[], list[Float32Array]]:
        return lambda: [opened.run(None, feeds)[0] for _ in range(RUNS)]

    for found, expected in zip(together([job(feeds) for feeds in batches]), alone, strict=True):
        for y in found:
            np.testing.assert_array_equal(y, expected)


ENTRY = "ai.spa.intra_op_num_threads"


@pytest.mark.parametrize("told", ["0", "1", "2", "5", "64", "100000"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_however_many_threads_are_told_of_the_numbers_are_the_same(case: OpCase, told: str) -> None:
    import onnxruntime

    model, feeds = case.model(), case.feeds()
    (expected,) = open_model(model, 1).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(ENTRY, told)
    opened: Any = session(model.SerializeToString(), sess_options=options)
    assert np.array_equal(opened.run(None, feeds)[0], expected)


@pytest.mark.parametrize("told", ["", "many", "-1", "2 ", "2x", "9" * 40])
def test_what_is_no_number_of_threads_is_refused(told: str) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(ENTRY, told)
    with pytest.raises(Exception, match="intra_op_num_threads must be a number of threads"):
        session(CASES[0].model().SerializeToString(), sess_options=options)


def test_a_session_tells_the_operators_how_many_threads_it_asked_for() -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 3
    session(CASES[0].model().SerializeToString(), sess_options=options)
    assert options.get_session_config_entry(ENTRY) == "3"
