"""The passes of a sparsifying run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spa_onnx.allocate.problem import Allocation
from spa_onnx.registry import find_pass
from spa_onnx.score.protocol import needs_of
from spa_onnx.sparse.config import SparsifyConfig
from spa_onnx.sparse.names import ALLOCATION
from spa_onnx.sparse.selection import Selection


@dataclass(frozen=True, slots=True)
class SparsePasses:
    """Selection and allocation; None leaves every layer at the same sparsity."""

    selection: Selection
    allocation: Allocation | None

    @staticmethod
    def of(config: SparsifyConfig) -> SparsePasses:
        """Find the passes that a configuration names.

        Raises:
            UnknownPassError: there is none of this name.
        """
        chosen = allocation_of(config)
        same = chosen == UNIFORM
        allocation = None if same else find_pass("allocation", chosen)
        return SparsePasses(find_pass("sparsity", config.selection), allocation)

    @property
    def measures_outputs(self) -> bool:
        """Say whether the allocation wants to know how far outputs move."""
        return self.allocation is not None and "distortion" in needs_of(self.allocation)

    def run_the_model(self, config: SparsifyConfig) -> bool:
        """Say whether anything needs runs of the model."""
        return config.repair or "moments" in self.selection.needs or self.measures_outputs

    def names(self, config: SparsifyConfig) -> dict[str, Any]:
        """Return what the passes are called."""
        chosen = {"selection": config.selection, "allocation": allocation_of(config)}
        return {k: v if isinstance(v, str) else repr(v) for k, v in chosen.items()}


UNIFORM = "uniform"


def allocation_of(config: SparsifyConfig) -> Any:
    """Return the allocation that a configuration asks for, or the one that it gets."""
    if config.allocation is not None:
        return config.allocation
    return ALLOCATION if config.repair and not config.fixed else UNIFORM
