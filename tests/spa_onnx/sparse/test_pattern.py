"""Masks follow their patterns, keep the best, and keep as much as was asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.errors import UsageError
from spa_onnx.sparse.pattern import Pattern, neighbours, parse_pattern

NAMES = ("unstructured", "block:4x1", "8x1", "16x1", "32x1", "1x16", "2:4", "1:4", "4:8")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_and_written(name: str) -> None:
    assert str(parse_pattern(name)) == name.removeprefix("block:")
    assert parse_pattern(str(parse_pattern(name))) == parse_pattern(name)


@pytest.mark.parametrize(
    "name", ["", "4", "0x1", "4x0", "65x1", "4:4", "5:4", "0:4", "4x", "block:2:4", "dense"]
)
def test_other_names_are_usage_errors(name: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        parse_pattern(name)


def test_channels_of_a_tap_are_neighbours() -> None:
    taps_first = np.array([[0, 0, 1, 1, 2, 2]])  # two taps of three channels
    assert neighbours(taps_first, 1).tolist() == [[0, 2, 4, 1, 3, 5]]
    assert neighbours(taps_first, 2).tolist() == [[0, 2, 4, -1, 1, 3, 5, -1]]
    channels_first = np.array([[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]])
    assert neighbours(channels_first, 3).tolist() == [[0, 1, 2, 3, 4, 5]] * 2


@st.composite
def weights(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    groups, outputs = draw(st.integers(1, 3)), draw(st.integers(1, 20))
    channels, taps = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 99))
    worth = np.random.default_rng(seed).random((groups, outputs, channels * taps))
    positions = np.stack(
        [np.repeat(np.arange(channels), taps) + g * channels for g in range(groups)]
    )
    return worth, positions


@given(weights(), st.sampled_from(NAMES), st.floats(0, 1))
def test_masks_follow_their_pattern(
    case: tuple[np.ndarray, np.ndarray], name: str, sparsity: float
) -> None:
    worth, positions = case
    pattern = parse_pattern(name)
    order = neighbours(positions, pattern.inputs)
    mask = pattern.mask(worth, order, sparsity)
    assert mask.shape == worth.shape
    for group, places in enumerate(order):
        for start in range(0, len(places), pattern.inputs):
            inside = places[start : start + pattern.inputs]
            inside = inside[inside >= 0]
            for row in range(0, worth.shape[1], pattern.outputs):
                block = mask[group, row : row + pattern.outputs][:, inside]
                if pattern.kept:
                    assert block.sum() == min(pattern.kept, len(inside))
                    assert not len(inside) or _are_best(worth[group, row, inside], block[0])
                else:
                    assert block.all() or not block.any()
    if not pattern.kept:
        largest = pattern.outputs * pattern.inputs
        left = mask.sum() - (1 - sparsity) * mask.size
        assert -largest - 1 < left <= 0.5 + 1e-9


def _are_best(worth: np.ndarray, stays: np.ndarray) -> bool:
    return bool(worth[stays].min(initial=np.inf) >= worth[~stays].max(initial=-np.inf))


def test_the_best_blocks_stay() -> None:
    worth = np.zeros((1, 8, 4))
    worth[0, 4:, 2] = 1.0
    worth[0, 0, 0] = 3.0  # alone among three that are worth nothing
    mask = Pattern(4, 1).mask(worth, neighbours(np.arange(4)[None], 1), 7 / 8)
    assert np.flatnonzero(mask.any(axis=(0, 1))).tolist() == [2]
    assert mask.sum() == 4
