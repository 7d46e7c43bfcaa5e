"""What a sparsifying run gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx

from spa_onnx.sparse.report import SparsifyReport


@dataclass(slots=True)
class SparsifyResult:
    """A sparse model with its report.

    Attributes:
        report: what the run did.
        path: where the model was written; None if it only exists in memory.
    """

    report: SparsifyReport
    path: Path | None
    _bytes: bytes | None = None

    @property
    def model(self) -> onnx.ModelProto:
        """Return the sparse model, read or parsed anew with every call."""
        if self._bytes is not None:
            parsed: onnx.ModelProto = onnx.ModelProto.FromString(self._bytes)
            return parsed
        return onnx.load(str(self.path))
