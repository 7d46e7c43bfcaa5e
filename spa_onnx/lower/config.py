"""Options of lowering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from spa_onnx.config import PROOF_MEMORY
from spa_onnx.errors import UsageError

Target = Literal["cpu", "cuda"]
"""What a model is lowered for."""

Precision = Literal["float16"]

LEAST_ZEROS = 0.3
"""Share of zeros from which on a weight is looked at: below, no kernel is faster than dense."""

MAPPED_FROM = 64 << 20
"""Bytes of weights from which on they lie beside the model, so that the runtime maps them instead
of copying them."""


@dataclass(frozen=True, slots=True)
class LowerConfig:
    """Options of a run.

    Attributes:
        force: lower all that can be, faster or not.
        threads: that a node may use, when times are taken.
        input_shapes: numbers for symbolic inputs.
        seed: of made-up inputs.
        external_data: keep weights beside the model, however small.
        least_zeros: share of zeros from which on a weight is lowered.
        memory: bytes that weights may take where inputs are tried.
        cache: folder of the table of times; None for the user's cache folder.
        fresh: measure what the table knows again.
        target: what the model is lowered for.
        precision: that the model is converted to before; None leaves it as it is.
    """

    force: bool = False
    threads: int = 1
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    external_data: bool = False
    least_zeros: float = LEAST_ZEROS
    memory: int = PROOF_MEMORY
    cache: Path | None = None
    fresh: bool = False
    target: Target = "cpu"
    precision: Precision | None = None

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"threads is {self.threads}, at least 1 is needed")
        if self.precision is not None and self.target != "cuda":
            raise UsageError(
                f"--precision {self.precision} goes with --target cuda: kernels for the CPU "
                "compute in float32"
            )
        if not 0 < self.least_zeros <= 1:
            raise UsageError(f"least_zeros is {self.least_zeros}, between 0 and 1 is needed")

    @property
    def most_inside(self) -> int:
        """Return how many bytes of weights may lie inside the model."""
        return -1 if self.external_data else MAPPED_FROM
