"""What a target is asked for, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spa_onnx.bench.kernels.page import Sheet
from spa_onnx.bench.kernels.shapes import Group

Tell = Callable[[str, int], None]
"""Hears of a layer that is done, and how many are."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to time.

    Attributes:
        groups: names of groups of layers; all where there is none.
        patterns: of all groups; those that suit each where there is none.
        sparsities: shares of zeros, where the pattern does not say it.
    """

    groups: Sequence[str] = ()
    patterns: Sequence[str] = ()
    sparsities: Sequence[float] = (0.5, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run found.

    Attributes:
        sheet: rows as text.
        how: how times were taken, and what the machine can do.
        machine: in a few words.
        json: everything.
    """

    sheet: Sheet
    how: str
    machine: str
    json: str = field(repr=False)


class Target(Protocol):
    """Where layers are timed."""

    @property
    def groups(self) -> Sequence[Group]:
        """The groups of layers that are asked for."""
        ...

    @property
    def count(self) -> int:
        """How many layers are timed."""
        ...

    def check(self) -> None:
        """Refuse to begin where something is missing."""
        ...

    def run(self, command: str, tell: Tell) -> Outcome:
        """Time all layers."""
        ...
