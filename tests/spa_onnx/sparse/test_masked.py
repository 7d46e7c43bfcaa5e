"""Weights under masks are those of least squares, output by output."""

import numpy as np
import pytest

from spa_onnx.sparse.masked import solve_masked


@pytest.mark.parametrize("damping", [1e-3, 1.0])
def test_every_output_is_solved_as_if_alone(damping: float) -> None:
    rng = np.random.default_rng(0)
    outputs, features = 7, 20
    x = rng.standard_normal((50, features)) * np.geomspace(1, 30, features)
    hessian = x.T @ x / 50 + damping * np.eye(features)
    optimum = rng.standard_normal((outputs, features))
    mask = rng.random((outputs, features)) < 0.4
    mask[3] = False
    mask[4] = True
    found = solve_masked(optimum, hessian, mask)
    assert not found[~mask].any()
    assert np.allclose(found[4], optimum[4])
    for row, wanted, free in zip(found, optimum, mask, strict=True):
        right = hessian[free] @ wanted
        exact = np.linalg.solve(hessian[np.ix_(free, free)], right)
        assert np.allclose(row[free], exact, rtol=1e-2, atol=1e-2)


def test_a_start_changes_nothing_but_the_way() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40, 12))
    hessian, optimum = x.T @ x + np.eye(12), rng.standard_normal((5, 12))
    mask = rng.random((5, 12)) < 0.5
    start = rng.standard_normal((5, 12))
    plain = solve_masked(optimum, hessian, mask)
    assert np.allclose(solve_masked(optimum, hessian, mask, start), plain, atol=1e-3)
