"""How sparse each layer becomes: the problem that pruning's allocation passes solve for lanes.

A layer is a dim of a thousand lanes, each a thousandth of its weights; what a lane costs is its
share of the parameters or operations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from spa_onnx.allocate.budget import KeepParams
from spa_onnx.allocate.problem import Allocation, AllocationProblem
from spa_onnx.cost.polynomial import CostPolynomial, Costs
from spa_onnx.sparse.curves import STEPS

FloatArray = NDArray[np.float64]


def allocate(
    allocation: Allocation,
    sparsity: float,
    sizes: Mapping[str, float],
    local: Mapping[str, FloatArray],
    measured: Mapping[str, FloatArray],
) -> dict[str, float]:
    """Return the sparsity of every layer.

    Args:
        allocation: the pass.
        sparsity: share of all sizes that goes.
        sizes: parameters or operations, by layer.
        local: losses by steps of sparsity, ``(STEPS + 1,)``.
        measured: the same of the network's outputs, where they were measured.
    """
    names = list(sizes)
    problem = AllocationProblem(
        np.full(len(names), STEPS, np.int64),
        _worth([local[n] for n in names], [sizes[n] for n in names]),
        _costs([sizes[n] for n in names]),
        KeepParams(1 - sparsity),
        1,
        distortion={k: measured[n][:-1] for k, n in enumerate(names) if n in measured},
    )
    widths = allocation.allocate(problem)
    return {n: 1 - int(w) / STEPS for n, w in zip(names, widths, strict=True)}


def _worth(local: Sequence[FloatArray], sizes: Sequence[float]) -> list[FloatArray]:
    """Return what each lane's loss is for what it costs, in ascending order; the mean is one."""
    found = []
    for curve, size in zip(local, sizes, strict=True):
        rises = np.maximum.accumulate(np.diff(curve)) / size
        found.append(rises)
    mean = float(np.mean([w.mean() for w in found])) if found else 1.0
    return [w / max(mean, float(np.finfo(np.float64).tiny)) for w in found]


def _costs(sizes: Sequence[float]) -> Costs:
    """Return a linear cost: of one lane a thousandth of the layer's."""
    count = len(sizes)
    cost = CostPolynomial(np.array(sizes, np.float64) / STEPS, np.arange(count)[:, None])
    return Costs(cost, cost, cost)


def uniform(sparsity: float, names: Sequence[str]) -> dict[str, float]:
    """Return the same sparsity for every layer, exactly."""
    return dict.fromkeys(names, sparsity)
