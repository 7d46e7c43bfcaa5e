"""Arithmetic of flows, against float64 where that is large enough."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spa_onnx.flow.values import Flow, summed, total
from tests.graph_writer import AnyArray

NUMBERS = st.just(0.0) | st.floats(1e-60, 1e60)
ARRAYS = st.lists(NUMBERS, min_size=3, max_size=3).map(np.array)


def plain(flow: Flow) -> AnyArray:
    return np.ldexp(flow.values, flow.exponent)


@given(ARRAYS, ARRAYS)
def test_flows_calculate_as_arrays_do(a: AnyArray, b: AnyArray) -> None:
    x, y = Flow.of(a), Flow.of(b, 0)
    np.testing.assert_allclose(plain(x.times(y)), a * b)
    np.testing.assert_allclose(plain(total([x, y])), a + b)
    np.testing.assert_allclose(plain(x.root()), np.sqrt(a))
    expected = np.divide(a, b, out=np.zeros(3), where=b > 0)
    np.testing.assert_allclose(plain(x.over(y)), expected, rtol=1e-6)


def test_scales_beyond_float64_are_kept() -> None:
    huge = Flow.of(np.array([1.0, 3.0]), 5000)
    assert huge.times(huge).exponent == 10004
    np.testing.assert_allclose(huge.times(huge).over(huge.times(huge)).values, 0.5)
    added = total([huge, Flow.of(np.ones(2)), Flow.of(np.zeros(2))])
    assert (added.exponent, list(added.values)) == (huge.exponent, list(huge.values))
    odd = Flow.of(np.array([2.0]), 5001).root()
    assert (odd.values[0], odd.exponent) == (0.5, 2502)


def test_what_was_broadcast_is_summed() -> None:
    wide = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(summed(wide, (3, 1)), wide.sum(axis=(0, 2))[:, None])
    assert summed(wide, wide.shape) is wide
