"""Structured pruning of ONNX graphs: smaller models, proved equal up to what was removed.

    import spa_onnx
    result = spa_onnx.prune("model.onnx", spa_onnx.PruneConfig(spa_onnx.KeepFlops(0.5)))
    result.save("pruned.onnx")

Names are loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spa_onnx.allocate.budget import Budget, KeepFlops, KeepParams, KeepSize, MaxLatency, Ratio
    from spa_onnx.analyse.dims import Analysis
    from spa_onnx.config import PruneConfig
    from spa_onnx.errors import (
        BudgetError,
        CalibrationError,
        ExternalDataError,
        GraphError,
        InputShapeError,
        ModelError,
        ModelFileError,
        NonFiniteWeightsError,
        NothingToPruneError,
        PlanError,
        PreprocessError,
        ProofFailedError,
        RuntimeRefusedError,
        SamePathError,
        SpaError,
        TensorDataError,
        UnknownPassError,
        UnknownShapeError,
        UsageError,
    )
    from spa_onnx.inputs.preprocess import Preprocess
    from spa_onnx.pipeline import analyze, apply, prune, verify
    from spa_onnx.plan.plan import Plan
    from spa_onnx.prove.proof_values import Proof
    from spa_onnx.report.report import PruneReport
    from spa_onnx.result import PruneResult
    from spa_onnx.sparse.config import SparsifyConfig
    from spa_onnx.sparse.report import SparsifyReport
    from spa_onnx.sparse.result import SparsifyResult
    from spa_onnx.sparse.run import sparsify

__version__ = "0.1.0"

_HOMES = {
    "spa_onnx.allocate.budget": (
        "Budget",
        "KeepFlops",
        "KeepParams",
        "KeepSize",
        "MaxLatency",
        "Ratio",
    ),
    "spa_onnx.analyse.dims": ("Analysis",),
    "spa_onnx.inputs.preprocess": ("Preprocess",),
    "spa_onnx.config": ("PruneConfig",),
    "spa_onnx.errors": (
        "BudgetError",
        "CalibrationError",
        "ExternalDataError",
        "GraphError",
        "InputShapeError",
        "ModelError",
        "ModelFileError",
        "NonFiniteWeightsError",
        "NothingToPruneError",
        "PlanError",
        "PreprocessError",
        "ProofFailedError",
        "RuntimeRefusedError",
        "SamePathError",
        "SpaError",
        "TensorDataError",
        "UnknownPassError",
        "UnknownShapeError",
        "UsageError",
    ),
    "spa_onnx.pipeline": ("analyze", "apply", "prune", "verify"),
    "spa_onnx.plan.plan": ("Plan",),
    "spa_onnx.report.report": ("PruneReport",),
    "spa_onnx.result": ("PruneResult",),
    "spa_onnx.prove.proof_values": ("Proof",),
    "spa_onnx.sparse.config": ("SparsifyConfig",),
    "spa_onnx.sparse.report": ("SparsifyReport",),
    "spa_onnx.sparse.result": ("SparsifyResult",),
    "spa_onnx.sparse.run": ("sparsify",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Analysis",
    "Budget",
    "BudgetError",
    "CalibrationError",
    "ExternalDataError",
    "GraphError",
    "InputShapeError",
    "KeepFlops",
    "KeepParams",
    "KeepSize",
    "MaxLatency",
    "ModelError",
    "ModelFileError",
    "NonFiniteWeightsError",
    "NothingToPruneError",
    "Plan",
    "PlanError",
    "Preprocess",
    "PreprocessError",
    "Proof",
    "ProofFailedError",
    "PruneConfig",
    "PruneReport",
    "PruneResult",
    "Ratio",
    "RuntimeRefusedError",
    "SamePathError",
    "SpaError",
    "SparsifyConfig",
    "SparsifyReport",
    "SparsifyResult",
    "TensorDataError",
    "UnknownPassError",
    "UnknownShapeError",
    "UsageError",
    "analyze",
    "apply",
    "prune",
    "sparsify",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'spa_onnx' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
