"""Timing of layers: graphs that are recorded once and started again."""

from __future__ import annotations

import pytest

from spa_onnx.runtime.cuda import CudaError
from tests.runtime_kernels.cuda.given_layer import convolution, linear
from tests.runtime_kernels.cuda.packing import Packing, few_packings
from tests.runtime_kernels.cuda_library import (
    cuda_library,
    emulated_bytes,
    needs_cuda_library,
    needs_emulator,
)

pytestmark = needs_cuda_library


@pytest.mark.parametrize("packing", few_packings(), ids=str)
def test_runs_are_recorded_without_asking_for_memory(packing: Packing) -> None:
    # the emulated device refuses to allocate and to copy while a graph is recorded
    layers = [linear(packing, 2, 50, 33), linear(packing, 40, 30, 33)]
    if packing.kind == "bitmask":
        layers.pop()
    else:
        layers.append(convolution(packing, (2, 40, 5, 5), 33, (2, 2)))
    for layer in layers:
        with cuda_library().prepare(layer.with_epilogue("gelu").native, copies=3) as runner:
            assert runner.time(4) > 0
            assert runner.time(4) > 0
            assert runner.time(2) > 0


@needs_emulator
def test_what_is_closed_is_freed() -> None:
    before = emulated_bytes()
    layer = linear(Packing("tiles"), 2, 50, 33).native
    with cuda_library().prepare(layer, copies=5) as runner:
        assert emulated_bytes() > before
        runner.time(1)
    with cuda_library().prepare_read(5000) as runner:
        assert emulated_bytes() >= before + 5000
        runner.time(2)
    assert emulated_bytes() == before


def test_less_than_a_vector_cannot_be_read() -> None:
    with pytest.raises(CudaError, match="too few bytes"):
        cuda_library().prepare_read(15)
