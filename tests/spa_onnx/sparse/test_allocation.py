"""Sparsities of layers from curves: the budget is met, and zeros go where they cost least."""

import numpy as np
import pytest

from spa_onnx.passes.global_rank import GlobalRank
from spa_onnx.passes.rate_distortion import RateDistortion
from spa_onnx.passes.uniform import Uniform
from spa_onnx.sparse.allocation import allocate
from spa_onnx.sparse.curves import STEPS

STEEP = np.linspace(0, 1, STEPS + 1) ** 3
FLAT = STEEP / 50
SIZES = {"a": 3000.0, "b": 1000.0, "c": 500.0}


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("allocation", [Uniform(), GlobalRank(), RateDistortion()])
def test_so_much_goes_as_was_asked(allocation: object, sparsity: float) -> None:
    curves = {"a": STEEP, "b": FLAT, "c": STEEP}
    found = allocate(allocation, sparsity, SIZES, curves, curves)  # type: ignore[arg-type]
    gone = sum(SIZES[n] * s for n, s in found.items()) / sum(SIZES.values())
    assert sparsity - 1e-9 <= gone <= sparsity + 0.02


@pytest.mark.parametrize("allocation", [GlobalRank(), RateDistortion()])
def test_layers_that_mind_less_lose_more(allocation: object) -> None:
    curves = {"a": STEEP, "b": FLAT, "c": STEEP}
    found = allocate(allocation, 0.6, dict.fromkeys("abc", 1000.0), curves, curves)  # type: ignore[arg-type]
    assert found["b"] > found["a"] + 0.2
    assert found["a"] == pytest.approx(found["c"], abs=0.05)


def test_measured_curves_go_before_local_ones() -> None:
    local = {"a": STEEP, "b": FLAT}
    sizes = {"a": 1000.0, "b": 1000.0}
    found = allocate(RateDistortion(), 0.5, sizes, local, {"a": FLAT, "b": STEEP})
    assert found["a"] > found["b"] + 0.2
