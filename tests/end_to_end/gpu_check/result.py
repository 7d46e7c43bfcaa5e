"""What came of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came of a step.

    Attributes:
        problem: what went wrong, or why nothing was done; nothing where all is well.
        is_skipped: nothing was done, and nothing is wrong.
        facts: for the report.
        line: the same in a line for people.
    """

    problem: str = ""
    is_skipped: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    line: str = ""

    @property
    def status(self) -> Status:
        """Return the result in one word."""
        if self.is_skipped:
            return "skipped"
        return "failed" if self.problem else "passed"

    def as_json(self, seconds: float) -> dict[str, Any]:
        """Return it for the report."""
        return {
            "status": self.status,
            "seconds": round(seconds, 1),
            "problem": self.problem,
            **self.facts,
        }
