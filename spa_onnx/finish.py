"""The way from kept lanes to a file: rewrite, write, prove, repair, report.

The file gets its name last. What is proved is the rewritten model before its repair, for a repair
changes weights on purpose; of a repaired model the distance to the original is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.config import PruneConfig
from spa_onnx.cost.polynomial import Costs
from spa_onnx.errors import ProofFailedError
from spa_onnx.latency.decide import Timing
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.plan.lanes import Kept
from spa_onnx.plan.plan import Plan
from spa_onnx.report.make import make_report
from spa_onnx.report.report import LatencyReport, PruneReport, RepairReport
from spa_onnx.rewrite.apply import CannotResizeError, Rewritten, rewrite
from spa_onnx.rewrite.writer import pending_file, to_bytes
from spa_onnx.stages import Stages

if TYPE_CHECKING:
    from spa_onnx.prove.proof_values import Proof

Repair = Callable[
    [LoadedModel, Mapping[Dim, Kept], LoadedModel | None], tuple[Rewritten | None, RepairReport]
]
"""Changes the weights of a pruned model, and tells how far its outputs were and are.

The third argument is another pruned model to compare with. Nothing is returned as a model where the
run has no compensation.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what is to be done with the model that is made of it.

    Attributes:
        kept: the lanes that stay.
        repair: changes weights after the proof, and compares outputs; None does neither.
        plain: the lanes of a plainer choice, to compare outputs with.
        timing: measures the result after its repair, for a budget in latency.
        notes: for the report.
    """

    kept: Mapping[Dim, Kept]
    repair: Repair | None = None
    plain: Mapping[Dim, Kept] = field(default_factory=dict)
    timing: Timing | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finishing:
    """What the last stages work on.

    Attributes:
        loaded: the original.
        analysis: its dims.
        cost: its cost polynomials.
        choice: the lanes that stay, and what follows.
        plan: these lanes as a plan.
        config: options of the run.
        stages: the clock.
    """

    loaded: LoadedModel
    analysis: Analysis
    cost: Costs
    choice: Choice
    plan: Plan
    config: PruneConfig
    stages: Stages

    def in_memory(self) -> tuple[PruneReport, bytes]:
        """Return the report and the model's bytes.

        Raises:
            ModelFileError: they are too many for a message.
            ProofFailedError: the result is wrong.
        """
        rewritten = self._rewrite()
        with self.stages("write"):
            data = to_bytes(rewritten, self.loaded)
        proof = self._prove(data)
        repaired = None
        if self.choice.repair is not None:
            pruned = load(data)
            with self.stages("compensate"), self._plainly(None) as plain:
                changed, repaired = self.choice.repair(pruned, self.choice.kept, plain)
            if changed is not None:
                with self.stages("write"):
                    data = to_bytes(changed, pruned)
        return self._report(rewritten, proof, repaired, self._time(data)), data

    def to_file(self, target: Path) -> PruneReport:
        """Write the model and return the report; the file gets its name after everything else.

        Raises:
            ModelFileError: the folder cannot be written.
            ProofFailedError: the result is wrong; nothing was written.
        """
        rewritten, repaired = self._rewrite(), None
        with ExitStack() as stack:
            with self.stages("write"):
                file = stack.enter_context(pending_file(rewritten, self.loaded, target))
            proof = self._prove(file.path)
            if self.choice.repair is not None:
                pruned = load(file.path)
                with self.stages("compensate"), self._plainly(target) as plain:
                    changed, repaired = self.choice.repair(pruned, self.choice.kept, plain)
                if changed is not None:
                    with self.stages("write"):
                        file = stack.enter_context(pending_file(changed, pruned, target))
            latency = self._time(file.path)
            with self.stages("write"):
                file.commit()
        return self._report(rewritten, proof, repaired, latency)

    def _time(self, result: bytes | Path) -> LatencyReport | None:
        if self.choice.timing is None:
            return None
        with self.stages("time"):
            return self.choice.timing(result)

    @contextmanager
    def _plainly(self, target: Path | None) -> Generator[LoadedModel | None]:
        """Yield the model of the plainer choice; None where that cannot be written."""
        try:
            rewritten = rewrite(self.analysis, self.choice.plain) if self.choice.plain else None
        except CannotResizeError:  # a node that this choice cuts, and the plan does not
            rewritten = None
        if rewritten is None:
            yield None
        elif target is None:
            yield load(to_bytes(rewritten, self.loaded))
        else:
            with pending_file(rewritten, self.loaded, target) as file:
                yield load(file.path)

    def _rewrite(self) -> Rewritten:
        with self.stages("rewrite"):
            return rewrite(self.analysis, self.choice.kept)

    def _prove(self, result: bytes | Path) -> Proof | None:
        config = self.config
        if not config.verify:
            return None
        from spa_onnx.prove.proof import prove

        try:
            with self.stages("verify"):
                return prove(
                    self.loaded,
                    self.analysis,
                    self.choice.kept,
                    load(result),
                    config.seed,
                    config.input_shapes,
                    config.proof_memory,
                )
        except ProofFailedError as failure:
            failure.add_note(
                "Nothing was written; this is a defect of spa-onnx, please report the model"
            )
            raise

    def _report(
        self,
        rewritten: Rewritten,
        proof: Proof | None,
        repaired: RepairReport | None,
        latency: LatencyReport | None,
    ) -> PruneReport:
        return make_report(
            self.loaded,
            self.analysis,
            self.cost,
            self.choice.kept,
            rewritten,
            self.plan,
            proof,
            self.stages.seconds,
            repaired,
            self.choice.notes,
            latency,
        )
