from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.check import WrongOutputError
from spa_onnx.bench.kernels.cuda.measure import CudaBench, with_fastest_kernel
from spa_onnx.bench.kernels.cuda.roofline import RUNS, CudaRoofline
from spa_onnx.bench.kernels.cuda.weights import drawn_input, drawn_weight
from spa_onnx.bench.kernels.shapes import Convolution, Group, Layer, Linear
from spa_onnx.runtime.cuda import CudaError, CudaLayer
from spa_onnx.sparse.pattern import parse_pattern
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import DEVICE, FakeGpu
from tests.spa_onnx.bench.kernels.cuda.some_rows import ROOFLINE

LINEAR = Linear(4, 96, 64)


def case(layer: Layer = LINEAR, pattern: str = "16x16", sparsity: float = 0.5) -> CudaCase:
    group = Group("some", [layer], [pattern])
    return CudaCase(group, layer, parse_pattern(pattern), sparsity, "float16")


def steps(*times: float) -> Callable[[int], float]:
    """Return a clock whose turns take these times, behind two that warm up."""
    return lambda asked: times[max(0, asked - 2)]


def test_ratios_are_of_the_same_round_and_times_are_medians() -> None:
    gpu = FakeGpu(sparse=steps(10, 40, 20), dense=steps(30, 40, 80))
    row = CudaBench(gpu, DEVICE, rounds=3).row(case(), ROOFLINE)
    assert row.ratios == pytest.approx((3, 1, 4))
    assert row.ratio == pytest.approx(3)
    assert (row.sparse, row.dense) == pytest.approx((20e-6, 40e-6))
    assert row.kernel == "fast"
    assert all(runner.is_closed for runner in gpu.runners)


def test_copies_fill_the_cache_ours_and_dense_ones() -> None:
    gpu = FakeGpu()
    layer = Linear(16, 1024, 512)
    row = CudaBench(gpu, DEVICE, rounds=1).row(case(layer, sparsity=0.9), ROOFLINE)
    ours, dense = gpu.runners
    tensors = 2 * 16 * (1024 + 512)
    for runner, size in ((ours, row.packed_bytes), (dense, 2 * 1024 * 512)):
        assert (runner.copies - 1) * (size + tensors) >= 2 * DEVICE.cache
        assert (runner.copies - 2) * (size + tensors) < 2 * DEVICE.cache
        assert all(runs % runner.copies == 0 for runs in runner.asked)
    assert row.copies == (ours.copies, dense.copies)
    assert dense.what == "16 x 1024 -> 512 float16"


def test_a_convolution_is_compared_with_the_product_of_all_pixels() -> None:
    gpu = FakeGpu()
    row = CudaBench(gpu, DEVICE, rounds=1).row(case(Convolution(32, 48, 5, images=3)), ROOFLINE)
    assert gpu.runners[-1].what == "75 x 32 -> 48 float16"
    assert row.operations == 2 * row.stored * 75


def test_every_kernel_is_timed_and_checked_where_that_is_asked_for() -> None:
    gpu = FakeGpu()
    row = CudaBench(gpu, DEVICE, rounds=1, every_kernel=True).row(case(), ROOFLINE)
    assert row.tried == pytest.approx({"fast": 10e-6, "slow": 20e-6})
    assert gpu.ran == ["fast", "slow"]
    assert all(runner.is_closed for runner in gpu.runners)


@pytest.mark.parametrize(("factor", "chosen"), [(0.5, "cusparselt"), (1.5, "own")])
def test_the_faster_of_our_kernel_and_cusparselt_is_timed(factor: float, chosen: str) -> None:
    gpu = FakeGpu(names=("own", "slow", "cusparselt"), factors={"cusparselt": factor})
    row = CudaBench(gpu, DEVICE, rounds=2).row(case(pattern="2:4"), ROOFLINE)
    assert row.kernel == chosen
    assert gpu.ran == ["own", "cusparselt"]
    assert row.tried == pytest.approx({"own": 10e-6, "cusparselt": factor * 10e-6})
    assert row.sparse == pytest.approx(min(1.0, factor) * 10e-6)
    layer = CudaLayer(drawn_weight(64, 96, parse_pattern("2:4"), 0.5, "float16").packed,
                      drawn_input((4, 96), "float16"))  # fmt: skip
    assert with_fastest_kernel(gpu, DEVICE, layer).kernel == chosen


def test_a_wrong_output_ends_the_run_before_it_is_timed() -> None:
    gpu = FakeGpu(wrong=0.5)
    with pytest.raises(WrongOutputError, match="layer some float16 16x16 50 % 4 x 96 -> 64, "):
        CudaBench(gpu, DEVICE).row(case(), ROOFLINE)
    assert not gpu.runners


def test_what_is_prepared_is_freed_where_the_dense_one_cannot_be() -> None:
    gpu = FakeGpu(has_cublaslt=False)
    with pytest.raises(CudaError, match="cuBLASLt cannot be loaded"):
        CudaBench(gpu, DEVICE).row(case(), ROOFLINE)
    assert [runner.is_closed for runner in gpu.runners] == [True]


def test_layers_of_one_weight_follow_one_another() -> None:
    few, many = Linear(1, 32, 16), Linear(8, 32, 16)
    listed = [case(few), case(few, "2:4"), case(many), case(many, "2:4")]
    found = [str(row.case) for row in CudaBench(FakeGpu(), DEVICE, 1).rows(listed, ROOFLINE)]
    assert found == [str(listed[k]) for k in (0, 2, 1, 3)]


def test_a_layer_is_limited_by_its_operations_or_its_bytes() -> None:
    row = CudaBench(FakeGpu(), DEVICE, rounds=1).row(case(), ROOFLINE)
    assert row.traffic == row.packed_bytes + 2 * 4 * (96 + 64)
    reading, computing = row.traffic / 1e9, 2 * row.stored * 4 / 1e12
    assert row.roofline_share == pytest.approx(reading / 10e-6)
    assert reading > computing
    assert row.bytes_rate == pytest.approx(row.traffic / 10e-6 / 1e9)
    assert row.stored_rate == pytest.approx(2 * 64 * 96 / 2 * 4 / 10e-6 / 1e12)
    assert row.dense_equivalent_rate == pytest.approx(2 * row.stored_rate)


def test_the_device_is_measured_by_the_best_of_some_turns() -> None:
    times = np.linspace(20, 10, RUNS)
    gpu = FakeGpu(dense=steps(*times), read=steps(*times))
    found = CudaRoofline.measured(gpu, DEVICE, ["float16", "bfloat16", "float16"], 100, 1 << 20)
    assert found.peaks == pytest.approx({"float16": 2e6 / 10e-6, "bfloat16": 2e6 / 10e-6})
    assert found.bandwidth == pytest.approx((1 << 20) / 10e-6)
    assert [runner.what for runner in gpu.runners] == [
        "100 x 100 -> 100 float16", "100 x 100 -> 100 bfloat16", "read 1048576",
    ]  # fmt: skip
    assert all(runner.is_closed for runner in gpu.runners)


def test_no_more_than_an_eighth_of_the_memory_is_read() -> None:
    gpu = FakeGpu()
    CudaRoofline.measured(gpu, DEVICE, [], read=1 << 50)
    assert gpu.runners[-1].what == f"read {DEVICE.memory // 8}"
