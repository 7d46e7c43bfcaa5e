from __future__ import annotations

import numpy as np
import pytest

from spa_onnx.lower.packings import Packing, count_zeros, packings, refined
from spa_onnx.runtime.packed_header import BLOCK_ROWS, read_header
from spa_onnx.runtime.unpacking import unpack
from tests.spa_onnx.lower.models import Array, zeroed


def blocks(rows: int, columns: int, high: int, wide: int, share: float = 0.8) -> Array:
    """Return a matrix of which blocks are zero."""
    small = zeroed(np.ones((-(-rows // high), -(-columns // wide))), share)
    mask = small.repeat(high, axis=0).repeat(wide, axis=1)[:rows, :columns]
    return np.random.default_rng(2).standard_normal((rows, columns)).astype(np.float32) * mask


@pytest.mark.parametrize("shape", [(64, 48), (37, 50), (1, 1)])
def test_shares_are_those_that_packing_stores(shape: tuple[int, int]) -> None:
    matrix = zeroed(np.ones(shape))
    zeros = count_zeros(matrix)
    assert zeros.density == np.count_nonzero(matrix) / matrix.size
    for rows in BLOCK_ROWS:
        stored = read_header(Packing(1, rows).pack(matrix)).blocks * rows
        assert zeros.stored[rows] == stored / matrix.size
    assert zeros.segments == read_header(Packing(3).pack(matrix)).blocks * 16 / matrix.size


@pytest.mark.parametrize("way", [Packing(1, 4), Packing(1, 2, 10), Packing(2), Packing(3)], ids=str)
def test_every_way_packs_the_matrix(way: Packing) -> None:
    matrix = zeroed(np.ones((20, 30)))
    np.testing.assert_array_equal(unpack(way.pack(matrix)), matrix)


def names(matrix: Array, tokens: int | None) -> list[str]:
    return [str(way) for way in packings(count_zeros(matrix), tokens)]


@pytest.mark.parametrize("high", [4, 8])
def test_blocks_of_convolutions_are_found(high: int) -> None:
    found = names(blocks(64, 128, high, 1), None)
    assert f"{high}x1" in found
    assert "16x1" not in found


@pytest.mark.parametrize("high", [16, 32])
def test_blocks_for_few_tokens_are_high_ones(high: int) -> None:
    assert names(blocks(128, 128, high, 1), 1)[0] == f"{high}x1"
    assert f"{high}x1" in names(blocks(128, 128, high, 1), 128)


def test_one_token_has_formats_of_its_own() -> None:
    assert names(blocks(64, 128, 1, 16), 1)[-1] == "1x16"
    assert names(zeroed(np.ones((64, 128))), 1) == ["1x1", "bitmask"]
    assert names(zeroed(np.ones((64, 128))), 2) == ["1x1"]


def test_panels_are_tried_in_tiles_and_in_chunks_of_whole_channels() -> None:
    found = refined(Packing(1, 4), 300 * 9, None, 9)
    assert Packing(1, 4, 0, 6) in found
    assert all(way.tile and way.chunk % (16 * 9) == 0 for way in found)
    assert all(way.chunk * way.tile * 64 <= 9 * 32 * 1024 for way in found)
    assert all(way.chunk == 0 for way in refined(Packing(1, 4), 32, None, 1))


def test_blocks_of_many_rows_are_tried_with_fewer_tokens_at_once() -> None:
    assert refined(Packing(1, 32), 768, 128, 1) == [Packing(1, 32, 0, 12), Packing(1, 32, 0, 8)]


def test_nothing_is_refined_for_one_token() -> None:
    assert refined(Packing(1, 16), 768, 1, 1) == []
    assert refined(Packing(2), 768, 1, 1) == []


def test_tiles_share_bytes() -> None:
    assert Packing(1, 4, 32, 6).stored == Packing(1, 4, 32, 5).stored
    assert str(Packing(1, 4, 32, 6)) == "4x1/32 by 6"
