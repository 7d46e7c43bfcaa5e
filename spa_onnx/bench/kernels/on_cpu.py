"""Layers on the processor, beside ONNX Runtime's dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_onnx.bench.kernels.as_json import kernels_json
from spa_onnx.bench.kernels.cases import Case, cases, run
from spa_onnx.bench.kernels.measure import Bench
from spa_onnx.bench.kernels.outcome import Asked, Outcome, Tell
from spa_onnx.bench.kernels.page import how_measured, sentence, sheet
from spa_onnx.bench.kernels.roofline import Roofline
from spa_onnx.bench.kernels.shapes import Group, find_groups
from spa_onnx.doctor.processor import processor, threads
from spa_onnx.runtime.library import library_path


@dataclass(frozen=True, slots=True)
class OnCpu:
    """What is timed on the processor.

    Attributes:
        groups: of layers.
        cases: all of them.
        bench: how they are timed.
    """

    groups: Sequence[Group]
    cases: Sequence[Case]
    bench: Bench

    @staticmethod
    def of(asked: Asked, bench: Bench) -> OnCpu:
        """Return what is asked for.

        Raises:
            UsageError: there is no such group or pattern.
        """
        groups = find_groups(asked.groups)
        return OnCpu(groups, list(cases(groups, asked.patterns, asked.sparsities)), bench)

    @property
    def count(self) -> int:
        """Return how many layers are timed."""
        return len(self.cases)

    def check(self) -> None:
        """Refuse to begin without the library.

        Raises:
            KernelsMissingError: it was not built.
        """
        library_path()

    def run(self, command: str, tell: Tell) -> Outcome:
        """Time all layers.

        Raises:
            WrongLayerError: an output is wrong.
        """
        roofline = Roofline.measured(self.bench.threads)
        rows = run(self.cases, self.bench, roofline, lambda row, done: tell(sentence(row), done))
        return Outcome(
            sheet(rows),
            how_measured(self.bench, roofline),
            f"{processor()}, {threads()}",
            kernels_json(rows, self.bench, roofline, command),
        )
