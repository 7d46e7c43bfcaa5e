"""Masks of selections: in their pattern, as large as asked for, the better the more is known."""

from typing import Any

import numpy as np
import pytest

from spa_onnx.errors import UsageError
from spa_onnx.passes.sparsity_admm import AlternatingMask
from spa_onnx.passes.sparsity_magnitude import MagnitudeMask
from spa_onnx.passes.sparsity_obs import SurgeonMask
from spa_onnx.passes.sparsity_wanda import WandaMask
from spa_onnx.sparse.masked import solve_masked
from spa_onnx.sparse.pattern import neighbours, parse_pattern
from spa_onnx.sparse.selection import MaskProblem, Selection

SELECTIONS = [MagnitudeMask(), WandaMask(), SurgeonMask(), AlternatingMask()]
PATTERNS = ["unstructured", "4x1", "1x4", "2:4"]


def problem(pattern: str, sparsity: float = 0.5, groups: int = 1, seed: int = 0) -> MaskProblem:
    """Return a layer of eight outputs whose twelve inputs of two taps go together in part."""
    rng = np.random.default_rng(seed)
    outputs, channels, taps = 8, 12, 2
    features = channels * taps
    mixed = rng.standard_normal((groups, features, features)) / 5 + np.eye(features)
    x = rng.standard_normal((groups, 200, features)) @ mixed * np.geomspace(0.3, 3, features)
    hessian = x.transpose(0, 2, 1) @ x / 200 + 1e-2 * np.eye(features)
    weight = rng.standard_normal((groups, outputs, features))
    channel = np.repeat(np.arange(channels), taps) + channels * np.arange(groups)[:, None]
    chosen = parse_pattern(pattern)
    return MaskProblem(weight, hessian, chosen, neighbours(channel, chosen.inputs), sparsity)


def loss(of: MaskProblem, selection: Selection) -> float:
    """Return the loss of the best weights under a selection's mask."""
    mask = selection.select(of)
    total = 0.0
    for optimum, hessian, stays in zip(of.optimum, of.hessian, mask, strict=True):
        error = solve_masked(optimum, hessian, stays) - optimum
        total += float(np.einsum("of,of->", error @ hessian, error))
    return total


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("groups", [1, 3])
def test_masks_follow_the_pattern_and_the_sparsity(
    selection: Selection, pattern: str, groups: int
) -> None:
    of = problem(pattern, groups=groups)
    mask = selection.select(of)
    assert mask.shape == of.optimum.shape
    assert mask.dtype == np.bool_
    assert mask.mean() == pytest.approx(0.5, abs=0.03)
    again = of.best(mask.astype(float))
    assert (again == mask).all()  # the best mask of a mask is the mask, if it is in the pattern


@pytest.mark.parametrize("selection", SELECTIONS, ids=lambda s: type(s).__name__)
def test_a_diagonal_is_enough(selection: Selection) -> None:
    of = problem("unstructured")
    diagonal = MaskProblem(of.optimum, of.curvature[:, 0], of.pattern, of.order, of.sparsity)
    worth = np.square(of.optimum) * (1 if isinstance(selection, MagnitudeMask) else of.curvature)
    assert (selection.select(diagonal) == of.best(worth)).all()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_more_a_selection_knows_the_less_is_lost(pattern: str) -> None:
    names = ("magnitude", "wanda", "obs", "admm")
    lost: dict[str, Any] = dict.fromkeys(names, 0.0)
    for seed in range(8):
        of = problem(pattern, seed=seed)
        for name, selection in zip(names, SELECTIONS, strict=True):
            lost[name] += loss(of, selection)
    assert lost["wanda"] < lost["magnitude"]
    assert lost["admm"] < 0.95 * lost["wanda"]
    assert lost["admm"] < lost["obs"]


def test_magnitudes_are_those_of_blocks() -> None:
    of = problem("4x1", 0.75)
    mask = MagnitudeMask().select(of)
    energy = np.square(of.optimum)
    sums = energy.reshape(1, 2, 4, -1).sum(axis=2)
    stays = mask.reshape(1, 2, 4, -1)[:, :, 0]
    assert sums[stays].min() >= sums[~stays].max()


@pytest.mark.parametrize(
    "make",
    [
        lambda: AlternatingMask(penalty=0),
        lambda: AlternatingMask(growth=1),
        lambda: AlternatingMask(steps=0),
        lambda: SurgeonMask(width=0),
    ],
)
def test_fields_out_of_range_are_usage_errors(make: Any) -> None:
    with pytest.raises(UsageError, match=r"penalty|width"):
        make()
