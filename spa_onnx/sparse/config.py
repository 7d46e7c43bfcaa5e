"""What a user can ask of a sparsifying run, and the checks that need no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spa_onnx.config import PROOF_MEMORY, STATISTICS_MEMORY, PruneConfig
from spa_onnx.errors import UsageError
from spa_onnx.sparse.names import SELECTION
from spa_onnx.sparse.pattern import Pattern, parse_pattern

AUTO = "auto"
"""The pattern that is chosen layer by layer."""

Target = Literal["cpu", "cuda"]
"""What sparse layers will run on."""


@dataclass(frozen=True, slots=True)
class SparsifyConfig:
    """Options of :func:`spa_onnx.sparsify`.

    Attributes:
        sparsity: share of the weights that goes, over all layers that become sparse, or of their
            operations, see ``weigh``; None takes what an N:M pattern says, else a half.
        pattern: what stays or goes together, or ``auto``.
        selection: name of an installed selection pass, or a pass object.
        allocation: name of an installed allocation pass, or a pass object; None takes
            ``uniform`` without ``repair``, else ``rate-distortion``.
        repair: fit the weights that stay to what the dense network makes.
        weigh: what ``sparsity`` is a share of.
        rearrange: put channels that are alike beside each other where the pattern has blocks.
        target: what sparse layers will run on: which patterns ``auto`` chooses from, and by what.
        speed: what ``auto`` goes by, a :data:`~spa_onnx.sparse.speed.RelativeTime`; None takes the
            table that comes with the package, or for ``cuda`` measures on the GPU.
        exclude: shell patterns of node and tensor names that stay dense.
        input_shapes: numbers for inputs with symbolic axes, by input name.
        seed: for inputs that are made up and the choice of samples.
        calibration: inputs, see :class:`~spa_onnx.config.PruneConfig`; None makes some up.
        samples: most items that are used.
        preprocess: what makes inputs of images and tokens.
        statistics_memory: bytes that what is collected from runs may take at once.
        proof_memory: bytes that weights may take in one session.
    """

    sparsity: float | None = None
    pattern: str = "unstructured"
    selection: Any = SELECTION
    allocation: Any = None
    repair: bool = True
    weigh: Literal["parameters", "operations"] = "parameters"
    rearrange: bool = False
    target: Target = "cpu"
    speed: Any = None
    exclude: tuple[str, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    calibration: Any = None
    samples: int | None = None
    preprocess: Any = None
    statistics_memory: int = STATISTICS_MEMORY
    proof_memory: int = PROOF_MEMORY

    def __post_init__(self) -> None:
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise UsageError(f"sparsity {self.sparsity} is not above 0 and below 1")
        if self.weigh not in ("parameters", "operations"):
            raise UsageError(f"weigh {self.weigh!r} is neither parameters nor operations")
        self._check_target()
        told = self.patterns[0].sparsity if self.pattern != AUTO else None
        if told is not None and self.sparsity is not None and abs(told - self.sparsity) > 1e-9:
            raise UsageError(
                f"pattern {self.pattern} makes a sparsity of {told}, not {self.sparsity}"
            )
        if told is not None and self.allocation is not None:
            raise UsageError(f"pattern {self.pattern} leaves nothing to allocate")
        self.engine_options()  # its checks of the options both have

    def _check_target(self) -> None:
        if self.target not in ("cpu", "cuda"):
            raise UsageError(f"target {self.target!r} is neither cpu nor cuda")
        if self.target == "cuda" and self.pattern != AUTO:
            from spa_onnx.bench.kernels.cuda.cases import packing_for

            packing_for(self.patterns[0])

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """Return the patterns that layers may get."""
        return (
            AUTO_PATTERNS[self.target] if self.pattern == AUTO else (parse_pattern(self.pattern),)
        )

    @property
    def share(self) -> float:
        """Return the sparsity that is asked for."""
        told = self.patterns[0].sparsity if self.pattern != AUTO else None
        return told if told is not None else 0.5 if self.sparsity is None else self.sparsity

    @property
    def fixed(self) -> bool:
        """Say whether the pattern says the sparsity of every layer."""
        return self.pattern != AUTO and self.patterns[0].sparsity is not None

    @property
    def measures_speed(self) -> bool:
        """Say whether layers have to be timed on a GPU."""
        return self.pattern == AUTO and self.target == "cuda" and self.speed is None

    def settings(self) -> dict[str, Any]:
        """Return what a report tells of the options."""
        return {
            "sparsity": self.share,
            "pattern": self.pattern,
            "weigh": self.weigh,
            "repair": self.repair,
            "rearrange": self.rearrange,
            "target": self.target,
            "seed": self.seed,
        }

    def engine_options(self) -> PruneConfig:
        """Return the options of runs of the model."""
        return PruneConfig(
            input_shapes=self.input_shapes,
            seed=self.seed,
            calibration=self.calibration,
            samples=self.samples,
            preprocess=self.preprocess,
            statistics_memory=self.statistics_memory,
            proof_memory=self.proof_memory,
        )


AUTO_PATTERNS: Mapping[Target, tuple[Pattern, ...]] = {
    "cpu": tuple(map(parse_pattern, ("unstructured", "4x1", "8x1", "16x1", "32x1", "1x16"))),
    "cuda": tuple(map(parse_pattern, ("unstructured", "16x16", "32x32", "64x64", "2:4"))),
}
"""Patterns that ``auto`` chooses from."""
