"""What a run gives back: a pruned model with its plan and report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from spa_onnx.plan.plan import Plan
from spa_onnx.report.report import PruneReport


@dataclass(slots=True)
class PruneResult:
    """A pruned model with its plan and report.

    Attributes:
        plan: what was cut; replay it with :func:`apply`.
        report: what the run did.
        path: where the model was written; None if it only exists in memory.
    """

    plan: Plan
    report: PruneReport
    path: Path | None
    _bytes: bytes | None = None

    @property
    def model(self) -> onnx.ModelProto:
        """Return the pruned model, read or parsed anew with every call."""
        if self._bytes is not None:
            parsed: onnx.ModelProto = onnx.ModelProto.FromString(self._bytes)
            return parsed
        return onnx.load(str(self.path))

    def save(self, path: str | Path) -> None:
        """Write a result that is in memory; one that was written already is where ``path`` said.

        Raises:
            OSError: the file cannot be written.
        """
        target = Path(path)
        if self._bytes is None:
            onnx.save(self.model, str(target))
            return
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            temporary.write_bytes(self._bytes)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
