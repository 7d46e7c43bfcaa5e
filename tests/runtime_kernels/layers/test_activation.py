"""Activations alone: a weight of one 1, so that sums are the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from spa_onnx.runtime.kernels import KernelSet
from spa_onnx.runtime.packing import pack_blocks
from tests.runtime_kernels.kernel_library import kernel_params, needs_kernels
from tests.runtime_kernels.layers.direct import (
    Epilogue,
    Float32Array,
    How,
    LayerRefusedError,
    run_linear,
)
from tests.runtime_kernels.layers.oracle import ACTIVATION_ERROR, TINY, activated

pytestmark = needs_kernels
each_kernel = pytest.mark.parametrize("kernels", kernel_params())

ONE = pack_blocks(np.ones((1, 1), np.float32), 1)
SWEEP = np.concatenate(
    [
        np.linspace(-100, 100, 20_001),
        np.linspace(-6, 6, 20_001),
        *(sign * np.geomspace(1e-30, 1e30, 2001) for sign in (-1, 1)),
        [0.0, -0.0, -87.3, -88.0, 88.0, 88.7, 89.0, -3.0, 3.0, 4.2 * 2**0.5, 2**0.5],
    ]
).astype(np.float32)


def apply(kernels: KernelSet, x: Float32Array, epilogue: Epilogue) -> Float32Array:
    """Return activations, computed as tokens of one feature."""
    return run_linear(ONE, x[:, None], 1, epilogue, How(kernels))[:, 0]


@each_kernel
@pytest.mark.parametrize("activation", ACTIVATION_ERROR)
def test_activations_keep_their_bounds_at_all_magnitudes(
    kernels: KernelSet, activation: str
) -> None:
    epilogue = Epilogue(activation=activation)
    y = apply(kernels, SWEEP, epilogue)
    exact = SWEEP.astype(np.float64)
    own = ACTIVATION_ERROR[activation]
    bound = own * np.abs(exact) + (TINY if own else 0)
    assert (np.abs(y - activated(exact, epilogue)) <= bound).all()


@each_kernel
@pytest.mark.parametrize("activation", ACTIVATION_ERROR)
def test_nan_stays_nan_and_infinity_follows_the_limit(kernels: KernelSet, activation: str) -> None:
    x = np.array([np.nan, np.inf] * 20, np.float32)
    y = apply(kernels, x, Epilogue(activation=activation))
    assert np.isnan(y[::2]).all()
    assert (y[1::2] == (1.5 if activation == "clip" else np.inf)).all()


@each_kernel
@pytest.mark.parametrize(("low", "high"), [(-np.inf, 2.0), (0.0, 6.0), (0.0, np.inf), (3.0, -3.0)])
def test_clip_takes_any_limits_and_the_upper_one_wins(
    kernels: KernelSet, low: float, high: float
) -> None:
    x = np.array([-np.inf, -7, -0.5, 0, 0.5, 7, np.inf], np.float32)
    y = apply(kernels, x, Epilogue(activation="clip", clip=(low, high)))
    np.testing.assert_array_equal(y, np.minimum(np.maximum(x, np.float32(low)), np.float32(high)))


@pytest.mark.parametrize("name", ["", "Relu", "relu ", "tanh", "x" * 1000])
def test_activations_that_there_are_not_are_refused(name: str) -> None:
    x = np.ones((1, 1), np.float32)
    with pytest.raises(
        LayerRefusedError, match=f"^activation '{name}' is none of none, relu,"[:80]
    ):
        run_linear(ONE, x, 1, Epilogue(activation=name))


def test_kernels_that_there_are_not_are_refused() -> None:
    missing = KernelSet("avx9000", "none", supported=False, chosen=False)
    with pytest.raises(LayerRefusedError, match=r"^no kernels avx9000$"):
        run_linear(ONE, np.ones((1, 1), np.float32), 1, how=How(missing))
