"""What a proof found, apart from how, so that a report need not load the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one tensor of the pruned model is from the reference.

    Attributes:
        tensor: its name.
        relative: largest absolute difference over largest absolute value of the reference.
        power: the same distance between reference and unpruned original; what the proof would have
            noticed. Zero means that the tensor proves nothing.
        amplified: whether the difference is above the tolerance of its type, and was held against
            what rounding alone does to the reference.
    """

    tensor: str
    relative: float
    power: float
    amplified: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a comparison that held.

    Attributes:
        outputs: differences at the graph's outputs.
        inner: differences at tensors inside.
        shapes: input shapes that were run.
        skipped: outputs behind operators that break ties or draw numbers, with that operator.
        pieces: consecutive pieces in which the original was run; one where its weights fit.
        memory: bytes that the weights of one session could take.
        unrun: why the reference could not be run behind the compared tensors; empty if it was. Some
            exports hold sizes that depend on what the original computed when it was traced.
        repaired: weights of the result that had other numbers than its plan makes of the
            original's; the plan's were proved in their place.
    """

    outputs: tuple[Difference, ...]
    inner: tuple[Difference, ...]
    shapes: tuple[Mapping[str, tuple[int, ...]], ...]
    skipped: Mapping[str, str]
    pieces: int
    memory: int
    unrun: str = ""
    repaired: int = 0

    @property
    def limits(self) -> tuple[str, ...]:
        """Return sentences on what could not be run or compared."""
        words = " ".join(self.unrun.split())
        masked = "the original, with lanes masked, does not run behind the compared tensors"
        behind = (
            f"output {name!r} was not compared: it lies behind {operator}"
            for name, operator in self.skipped.items()
        )
        numbers = (
            f"{self.repaired} repaired weights were replaced by those that the plan makes: "
            "what their own numbers do is not proved, only that they are finite"
        )
        return (
            *([numbers] if self.repaired else ()),
            *([f"{masked}: {words}"] if words else ()),
            *behind,
        )

    @property
    def largest(self) -> float:
        """Return the largest difference anywhere."""
        return max((d.relative for d in (*self.outputs, *self.inner)), default=0.0)

    @property
    def power(self) -> float:
        """Return the largest power of a compared tensor."""
        return max((d.power for d in (*self.outputs, *self.inner)), default=0.0)
