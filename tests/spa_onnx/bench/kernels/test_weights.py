import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.bench.kernels.shapes import Convolution, Linear
from spa_onnx.bench.kernels.weights import masked
from spa_onnx.sparse.pattern import Pattern


@given(
    st.sampled_from([(1, 1), (4, 1), (8, 1), (16, 1), (1, 16), (2, 2)]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.95]),
)
def test_blocks_stay_or_go_whole_and_as_many_as_asked(
    sides: tuple[int, int], outputs: int, inputs: int, sparsity: float
) -> None:
    p, q = sides
    layer = Linear(1, inputs, outputs)
    weight = masked(layer, Pattern(p, q), sparsity, np.random.default_rng(1))
    blocks = [
        weight[r : r + p, c : c + q] != 0
        for r in range(0, outputs, p)
        for c in range(0, inputs, q)
    ]  # fmt: skip
    assert weight.shape == (outputs, inputs)
    assert weight.dtype == np.float32
    assert all(block.all() or not block.any() for block in blocks)
    assert sum(bool(block.any()) for block in blocks) == round((1 - sparsity) * len(blocks))


@pytest.mark.parametrize(("kept", "of"), [(2, 4), (1, 4), (4, 8)])
def test_so_many_of_so_many_stay_everywhere(kept: int, of: int) -> None:
    layer = Linear(1, 64, 24)
    weight = masked(layer, Pattern(1, of, kept), 0.99, np.random.default_rng(1))
    assert (np.count_nonzero(weight.reshape(24, -1, of), axis=2) == kept).all()


def test_rows_have_different_lengths() -> None:
    weight = masked(Linear(1, 200, 40), Pattern(), 0.5, np.random.default_rng(1))
    assert len(set(np.count_nonzero(weight, axis=1).tolist())) > 5


def test_a_convolution_is_a_matrix_of_all_taps() -> None:
    weight = masked(Convolution(4, 6, 5, 3), Pattern(2, 1), 0.5, np.random.default_rng(1))
    assert weight.shape == (6, 36)
    assert np.count_nonzero(weight) == 6 * 36 // 2
