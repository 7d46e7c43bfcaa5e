"""Why lanes may not be cut."""

from __future__ import annotations

from dataclasses import dataclass

MET = "the other side is fixed"
"""What is the matter where lanes meet an axis that something else fixed, their root."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why lanes may not be cut: the operator and what it needs of them.

    Attributes:
        node: label of the operator, or ``graph input 'x'`` and the like.
        text: what it needs of the lanes, or what it equates them with.
        root: why the axis that they met there was fixed, where that is the reason; it has no root
            of its own.
        born: whether the lanes were made fixed, as positions and inputs are, and not fixed later.
    """

    node: str
    text: str
    root: Reason | None = None
    born: bool = False

    def __str__(self) -> str:
        text = f"{self.node}: {self.text}"
        return text if self.root is None else f"{text}: {MET} by {self.root}"
