"""Which kernel runs, and that every one is offered where it can."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.runtime_kernels.cuda.given_layer import GivenLayer, convolution, linear
from tests.runtime_kernels.cuda.packing import Packing, few_packings
from tests.runtime_kernels.cuda_library import (
    KERNELS,
    emulated_device,
    needs_cuda_library,
    needs_emulator,
    own_kernels,
)

pytestmark = needs_cuda_library

LINE = re.compile(r"^SPA_\w+\((\w+),", re.MULTILINE)
LISTS = ("fragments_gemm", "fragments_gemv", "masks_gemv")


def listed() -> set[str]:
    """Return the names in the lists of kernels."""
    return {n for name in LISTS for n in LINE.findall((KERNELS / name / "kernels.inc").read_text())}


def some_layers() -> Iterator[GivenLayer]:
    for packing in few_packings():
        yield linear(packing, 3, 40, 40)
        if packing.does_planes:
            yield convolution(packing, (1, 40, 3, 3), 40)


def test_every_kernel_runs_some_layer() -> None:
    offered = {n for layer in some_layers() for n in own_kernels(layer.native)}
    assert offered == listed()


def test_a_layer_is_offered_kernels_of_its_kind_only() -> None:
    for layer in some_layers():
        kind = layer.packing.kind.replace("bitmask", "masks")
        names = own_kernels(layer.native)
        assert len(set(names)) == len(names) > 0
        assert all(kind in name for name in names)
        if layer.strides is not None:
            assert all(name.startswith("gemm") for name in names)


TWO = Packing("two_of_four")
TILES = Packing("tiles", block=(64, 64))
MASKS = Packing("bitmask", "bfloat16")


@needs_emulator
@pytest.mark.parametrize(
    ("packing", "tokens", "rows", "chosen"),
    [
        (TWO, 1, 40, "gemv_two_of_four_x8"),
        (TWO, 8, 40, "gemv_two_of_four_x8"),
        (TWO, 9, 40, "gemv_two_of_four_x16"),
        (TWO, 17, 40, "gemv_two_of_four_x32"),
        (TWO, 32, 40, "gemv_two_of_four_x32"),
        (TWO, 33, 40, "gemm_two_of_four_x64"),
        (TILES, 9, 640, "gemv_tiles_x16"),
        (TILES, 33, 64, "gemm_tiles64_x64"),
        (TILES, 64, 6400, "gemm_tiles64_x64"),
        (TILES, 65, 6400, "gemm_tiles64_x128"),
        (TILES, 129, 6400, "gemm_tiles64_x128"),
        (TILES, 193, 6400, "gemm_tiles64_x256"),
        (TILES, 1000, 640, "gemm_tiles64_x256"),
        (MASKS, 1, 40, "gemv_masks_x1"),
        (MASKS, 2, 40, "gemv_masks_x4"),
        (MASKS, 100, 40, "gemv_masks_x4"),
    ],
    ids=str,
)
def test_the_number_of_tokens_chooses_among_kernels(
    packing: Packing, tokens: int, rows: int, chosen: str
) -> None:
    layer = linear(packing, tokens, 16, rows)
    assert own_kernels(layer.native)[0] == chosen


@needs_emulator
def test_large_tiles_are_taken_where_they_leave_each_multiprocessor_some() -> None:
    # the emulated device has four
    for images, chosen in ((1, "gemm_tiles64_x64"), (6, "gemm_tiles64_x256")):
        layer = convolution(TILES, (images, 16, 15, 17), 64)
        assert own_kernels(layer.native)[0] == chosen


@needs_emulator
@pytest.mark.parametrize("shared_memory", [99 << 10, 163 << 10])  # of 8.6 and 8.9, of 8.0
def test_devices_with_less_shared_memory_compute_the_same(shared_memory: int) -> None:
    with emulated_device(8, 6, shared_memory):
        for packing in (TWO, TILES, Packing("tiles"), MASKS):
            linear(packing, 3 if packing is MASKS else 70, 400, 66).with_epilogue().check()
        convolution(TWO, (2, 200, 7, 9), 66).check()
