from __future__ import annotations

import numpy as np
import pytest

from spa_onnx.bench.kernels.cuda.check import WrongOutputError, check
from spa_onnx.bench.kernels.cuda.weights import drawn_input, drawn_weight
from spa_onnx.runtime.cuda import Half
from spa_onnx.runtime.packing import unpack
from spa_onnx.sparse.pattern import parse_pattern

HALVES: tuple[Half, ...] = ("float16", "bfloat16")


@pytest.mark.parametrize("values", HALVES)
@pytest.mark.parametrize("pattern", ["16x16", "64x64", "2:4", "unstructured"])
def test_weights_keep_the_share_that_is_asked_for(pattern: str, values: Half) -> None:
    found = drawn_weight(256, 192, parse_pattern(pattern), 0.5, values)
    assert found.stored == 256 * 192 // 2
    dense = unpack(found.packed)
    assert dense.dtype.name == values
    np.testing.assert_array_equal(dense[found.rows], found.sample)


def test_sums_that_are_rounded_once_are_right() -> None:
    weight = drawn_weight(400, 96, parse_pattern("16x16"), 0.5, "float16")
    dense = unpack(weight.packed).astype(np.float64)
    x = drawn_input((80, 96), "float16")
    right = (x.astype(np.float64) @ dense.T).astype(np.float16)
    check("it", "kernel", weight, x, right)
    planes = drawn_input((3, 96, 5, 7), "float16")
    y = np.einsum("oc,nchw->nohw", dense, planes.astype(np.float64)).astype(np.float16)
    check("it", "kernel", weight, planes, y)
    with pytest.raises(WrongOutputError):
        check("it", "kernel", weight, planes, np.roll(y, 1, axis=3))


@pytest.mark.parametrize("fault", [np.nan, 1.01, 0.0])
def test_a_wrong_output_is_found_wherever_it_is(fault: float) -> None:
    weight = drawn_weight(32, 96, parse_pattern("16x16"), 0.0, "float16")
    x = drawn_input((4, 96), "float16")
    exact = x.astype(np.float64) @ unpack(weight.packed).astype(np.float64).T
    y = exact.astype(np.float16)
    place = np.unravel_index(np.abs(exact).argmin() if fault else np.abs(exact).argmax(), y.shape)
    y[place] = exact[place] + fault if fault else 0
    with pytest.raises(WrongOutputError, match=r"layer it, kernel quick: an output differs from"):
        check("it", "quick", weight, x, y)
