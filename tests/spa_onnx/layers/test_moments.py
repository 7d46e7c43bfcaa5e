"""Moments against numpy's covariance in float64."""

import numpy as np
import pytest

from spa_onnx.layers.moments import Moments

RNG = np.random.default_rng(0)


def correlated(samples: int = 500, features: int = 6, outputs: int = 3) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    x = RNG.standard_normal((samples, 2, features)) @ RNG.standard_normal((features, features))
    return x, RNG.standard_normal((samples, 2, outputs)) + x[..., :outputs]


@pytest.mark.parametrize("parts", [1, 3, 50])
def test_blocks_add_up_to_the_covariance_of_all(parts: int) -> None:
    x, y = correlated()
    of = Moments()
    for a, b in zip(np.array_split(x, parts), np.array_split(y, parts), strict=True):
        of.add(a, b)
    for g in range(2):
        both = np.cov(np.hstack([x[:, g], y[:, g]]).T, bias=True)
        assert np.allclose(of.covariance[g], both[:6, :6], rtol=1e-4, atol=1e-4)
        assert np.allclose(of.cross[g], both[6:, :6], rtol=1e-4, atol=1e-4)
    assert np.allclose(of.mean, x.mean(axis=0), atol=1e-6)
    assert np.allclose(of.target_mean, y.mean(axis=0), atol=1e-6)
    assert np.allclose(of.target_variance, y.var(axis=0), rtol=1e-4)
    assert of.count == 500


def test_variances_alone_are_the_diagonal() -> None:
    x, y = correlated()
    of = Moments(diagonal=True)
    of.add(x[:200], y[:200])
    of.add(x[200:], y[200:])
    assert np.allclose(of.covariance, x.var(axis=0), rtol=1e-4)
    assert np.allclose(of.target_mean, y.mean(axis=0), atol=1e-6)
    assert np.allclose(of.target_variance, y.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_numbers_of_any_size_are_added(scale: float) -> None:
    x = (RNG.standard_normal((300, 1, 3)) * scale).astype(np.float32)
    of = Moments()
    of.add(x)
    wanted = np.cov(x[:, 0].astype(np.float64).T / scale, bias=True)
    assert np.allclose(of.covariance[0] / scale**2, wanted, rtol=1e-4)


def test_a_large_mean_does_not_swallow_the_variance() -> None:
    x = RNG.standard_normal((400, 1, 3)) + 1e5
    of = Moments()
    for part in np.array_split(x.astype(np.float32), 4):
        of.add(part)
    wanted = np.cov(x.astype(np.float32)[:, 0].astype(np.float64).T, bias=True)
    assert np.allclose(of.covariance[0], wanted, rtol=1e-3, atol=1e-3)


def test_half_precision_does_not_overflow() -> None:
    x = (RNG.standard_normal((400, 1, 3)) * 500).astype(np.float16)
    of = Moments()
    of.add(x, x)
    wanted = np.cov(x[:, 0].astype(np.float64).T, bias=True)
    assert np.allclose(of.covariance[0], wanted, rtol=1e-4)
    assert np.allclose(of.cross[0], wanted, rtol=1e-4)


def test_empty_blocks_and_numbers_that_are_not_finite_are_left_out() -> None:
    x, y = correlated(100)
    of, clean = Moments(), Moments()
    of.add(x[:0], y[:0])
    bad = x.copy()
    bad[3, 1, 2], bad[7, 0, 0] = np.nan, np.inf
    of.add(bad, y)
    good = np.delete(np.arange(100), [3, 7])
    clean.add(x[good], y[good])
    assert of.count == 98
    assert np.allclose(of.covariance, clean.covariance)
    assert np.allclose(of.cross, clean.cross)


def test_nothing_finite_leaves_no_samples() -> None:
    of = Moments()
    of.add(np.full((4, 1, 2), np.nan, np.float32))
    assert of.count == 0
