"""What an examination finds: facts, and checks that hold or name a remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REINSTALL = (
    "Install spa-onnx again, so that the native library and the Python code are of one version; "
    "if that does not help, please report it with the output of `spa-onnx doctor --json`"
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be in order.

    Attributes:
        name: what was looked at.
        passed: whether it is in order.
        found: what was found.
        remedy: what to do where it is not.
        group: what it is one of many checks of.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        facts: what is neither right nor wrong, by name.
        kernels: for each set of kernels what it needs and whether it runs.
        checks: what must be in order.
    """

    facts: Mapping[str, str]
    kernels: Mapping[str, str]
    checks: Sequence[Check]

    @property
    def healthy(self) -> bool:
        """Say whether every check passed."""
        return all(check.passed for check in self.checks)
