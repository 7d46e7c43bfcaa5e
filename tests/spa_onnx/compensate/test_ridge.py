"""Least squares against numpy's."""

import numpy as np
import pytest

from spa_onnx.compensate.refit import LayerSamples, residual
from spa_onnx.compensate.ridge import solve_kept, solve_ridge
from spa_onnx.errors import UsageError
from spa_onnx.layers.moments import Moments
from spa_onnx.passes.ridge import Ridge

RNG = np.random.default_rng(0)


def test_kept_features_take_over_what_least_squares_says() -> None:
    x = RNG.standard_normal((300, 6)) @ RNG.standard_normal((6, 6))
    x -= x.mean(axis=0)
    weight = RNG.standard_normal((2, 3, 6))
    covariance = np.stack([x.T @ x / len(x)] * 2)
    kept = np.array([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]], bool)
    fitted = solve_kept(weight, covariance, kept, 1e-12)
    wanted = np.linalg.lstsq(x[:, kept[0]], x @ weight[0].T, rcond=None)[0].T
    assert np.allclose(fitted[0][:, kept[0]], wanted, atol=1e-6)
    assert not fitted[0][:, ~kept[0]].any()
    assert np.array_equal(fitted[1], weight[1])


def test_nothing_kept_and_variances_alone_leave_no_refit() -> None:
    weight, covariance = np.ones((1, 2, 3)), np.eye(3)[None]
    assert not solve_kept(weight, covariance, np.zeros((1, 3), bool), 0.01).any()
    kept = np.array([[True, False, True]])
    assert np.array_equal(solve_kept(weight, np.ones((1, 3)), kept, 0.01)[0, 0], [1, 0, 1])


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_singular_moments_are_solved(rank: int) -> None:
    x = RNG.standard_normal((50, rank)) @ RNG.standard_normal((rank, 5))
    solution = solve_ridge(x.T @ x, np.ones((2, 5)) @ (x.T @ x), 1e-3)
    assert np.isfinite(solution).all()
    assert np.allclose(x @ solution.T, x @ np.ones((5, 2)), atol=0.2 + 0.01 * np.abs(x).max())


def samples_of(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> LayerSamples:  # type: ignore[type-arg]
    seen, held_out = Moments(), Moments()
    seen.add(x[:-40, None], y[:-40, None])
    held_out.add(x[-40:, None], y[-40:, None])
    return LayerSamples(weight[None], seen, held_out)


def test_an_affine_target_is_found() -> None:
    x, truth = RNG.standard_normal((400, 5)) + 2, RNG.standard_normal((3, 5))
    layer = samples_of(x, x @ truth.T + 7, np.zeros((3, 5)))
    made = Ridge().refit(layer)
    assert np.allclose(made.weight[0], truth, atol=1e-3)
    assert np.allclose(made.offset, 7, atol=1e-2)


def test_a_layer_that_fits_already_stays() -> None:
    x, weight = RNG.standard_normal((400, 5)), RNG.standard_normal((3, 5))
    made = Ridge().refit(samples_of(x, x @ weight.T - 1, weight))
    assert np.allclose(made.weight[0], weight, atol=1e-5)
    assert np.allclose(made.offset, -1, atol=1e-5)


def test_noise_is_not_fitted_where_inputs_held_out_tell() -> None:
    x = RNG.standard_normal((90, 45))
    layer = samples_of(x, RNG.standard_normal((90, 3)), np.zeros((3, 45)))
    made = Ridge().refit(layer)
    assert residual(made.weight, layer.held_out) <= 1e-9


def test_two_samples_are_enough_to_run() -> None:
    seen = Moments()
    seen.add(RNG.standard_normal((2, 1, 5)), RNG.standard_normal((2, 1, 3)))
    made = Ridge().refit(LayerSamples(np.ones((1, 3, 5)), seen, Moments()))
    assert np.isfinite(made.weight).all()
    assert np.isfinite(made.offset).all()


@pytest.mark.parametrize("damping", [(), (0.0,), (-1.0, 0.1)])
def test_senseless_ridges_are_refused(damping: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        Ridge(damping)
