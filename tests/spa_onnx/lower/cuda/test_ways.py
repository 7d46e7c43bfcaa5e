from __future__ import annotations

import numpy as np
import pytest

from spa_onnx.lower.cuda.ways import MOST_WAYS, count_tiles, stored_bytes, ways_to_pack
from spa_onnx.lower.packings import Packing
from spa_onnx.runtime.packed_header import read_header
from spa_onnx.runtime.packed_kinds import HALVES, Kind, ValueType
from spa_onnx.runtime.unpacking import unpack
from tests.spa_onnx.lower.models import Array, zeroed
from tests.spa_onnx.lower.test_packings import blocks

SHAPES = [(64, 128), (37, 50), (1, 1), (80, 16)]


def two_of_four(rows: int, columns: int) -> Array:
    """Return a matrix with the first two of every four columns."""
    kept = np.arange(columns) % 4 < 2
    return np.where(kept, np.ones((rows, columns), np.float32), 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_shares_are_those_that_packing_stores(shape: tuple[int, int]) -> None:
    matrix = zeroed(np.ones(shape), 0.97)
    zeros = count_tiles(matrix)
    assert zeros.density == np.count_nonzero(matrix) / matrix.size
    for (rows, columns), share in zeros.tiles.items():
        packed = Packing(Kind.TILES, rows, block_columns=columns).pack(matrix, ValueType.FLOAT16)
        assert share == read_header(packed).blocks * rows * columns / matrix.size


@pytest.mark.parametrize("values", HALVES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_way_packs_the_matrix(shape: tuple[int, int], values: ValueType) -> None:
    rows, columns = shape
    matrix = two_of_four(rows, columns) * (1 + np.arange(rows) % 7)[:, None].astype(np.float32)
    zeros = count_tiles(matrix)
    ways = ways_to_pack(zeros, tokens=1, is_linear=True)
    assert Packing(Kind.TWO_OF_FOUR) in ways
    for way in [*ways, Packing(Kind.BITMASK), Packing(Kind.TILES, 32, block_columns=16)]:
        packed = way.pack(matrix, values)
        assert read_header(packed).value_type == values
        np.testing.assert_array_equal(unpack(packed), matrix)


def names(matrix: Array, tokens: int = 512, *, is_linear: bool = True) -> list[str]:
    return [
        str(way) for way in ways_to_pack(count_tiles(matrix), tokens=tokens, is_linear=is_linear)
    ]


@pytest.mark.parametrize("side", [16, 32, 64])
def test_tiles_of_the_size_that_was_pruned_store_the_fewest_bytes(side: int) -> None:
    found = names(blocks(512, 512, side, side))
    assert found[0] == f"tiles {side}x{side}"
    assert len(found) <= MOST_WAYS


def test_two_of_four_is_for_matrices_that_obey_it() -> None:
    assert names(two_of_four(64, 96)) == ["2:4"]
    broken = two_of_four(64, 96)
    broken[5, 10] = 1
    assert "2:4" not in names(broken)
    assert not count_tiles(np.ones((1, 3), np.float32)).two_of_four
    assert count_tiles(np.ones((1, 2), np.float32)).two_of_four


def test_bit_masks_are_for_few_tokens_of_linear_layers() -> None:
    matrix = zeroed(np.ones((64, 128)), 0.8)
    assert names(matrix, 8) == ["bitmask"]
    assert "bitmask" not in names(matrix, 9)
    assert "bitmask" not in names(matrix, 8, is_linear=False)


def test_bytes_are_those_of_the_packed_weight() -> None:
    matrix = two_of_four(256, 512)
    zeros = count_tiles(matrix)
    for way in ways_to_pack(zeros, tokens=1, is_linear=True):
        size = len(way.pack(matrix, ValueType.FLOAT16))
        # headers, starts of rows or row blocks, and alignment
        assert abs(size - stored_bytes(way, zeros) * matrix.size) < 192 + 4 * 257 + 3 * 64
