"""The stages in order: load, normalise, analyse, score, allocate, rewrite, verify, report."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from spa_onnx.algebra.expression import Dim
from spa_onnx.allocate.problem import Allocation, keep_best, make_problem
from spa_onnx.analyse.dims import Analysis, analyse
from spa_onnx.checks import check_input_shapes, check_output, check_weights
from spa_onnx.config import PROOF_MEMORY, PruneConfig
from spa_onnx.cost.polynomial import Costs, costs
from spa_onnx.errors import InternalError, NothingToPruneError, ProofFailedError
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.plan.lanes import Kept
from spa_onnx.plan.plan import Plan, make_plan
from spa_onnx.plan.settings import (
    default_allocation,
    planned_config,
    read_plan,
    rigid_nodes,
    settings_of,
)
from spa_onnx.registry import find_pass
from spa_onnx.report.make import make_report
from spa_onnx.report.report import PruneReport
from spa_onnx.rewrite.apply import CannotResizeError, rewrite
from spa_onnx.rewrite.writer import pending_file, to_bytes
from spa_onnx.score.lift import score
from spa_onnx.score.protocol import Importance
from spa_onnx.stages import Observer, Stages

if TYPE_CHECKING:
    from spa_onnx.prove.proof_values import Proof

Source = str | Path | onnx.ModelProto


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


def prune(
    model: Source,
    config: PruneConfig | None = None,
    *,
    output: str | Path | None = None,
    observer: Observer | None = None,
) -> PruneResult:
    """Return a smaller model that equals the original with the removed lanes masked.

    Args:
        model: path of an ONNX file, or a ModelProto, which is not changed.
        config: what to remove; half of every prunable dim by default.
        output: where to write; without it the result stays in memory.
        observer: told of each stage.

    Raises:
        SpaError: see :mod:`spa_onnx.errors`; nothing is written then.
    """
    config = config or PruneConfig()
    stages = Stages(observer)
    importance = find_pass("importance", config.importance)
    allocation = find_pass("allocation", config.allocation or default_allocation(config))
    check_output(model, output)
    with stages("load"):
        loaded = load(model)
    check_weights(loaded, output)
    rigid = frozenset[str]()
    while True:
        try:
            return _prune(loaded, config, importance, allocation, output, stages, rigid)
        except CannotResizeError as refusal:
            if refusal.node in rigid:
                raise InternalError(
                    f"{refusal.node}: shapes that change although fixed"
                ) from refusal
            rigid |= {refusal.node}  # keep the axes of this node whole, and start again


def _prune(
    loaded: LoadedModel,
    config: PruneConfig,
    importance: Importance,
    allocation: Allocation,
    output: str | Path | None,
    stages: Stages,
    rigid: frozenset[str],
) -> PruneResult:
    with stages("analyse"):
        analysis = _analyse(normalise(loaded), config, rigid)
        if not analysis.dims:
            raise NothingToPruneError(_main_reasons(analysis), list(analysis.kinds()))
        cost = costs(analysis.propagation, [d.dim for d in analysis.dims], {})
    with stages("score"):
        scores = score(analysis, importance, config.seed)
    with stages("allocate"):
        problem = make_problem(analysis, scores, cost, config.budget, config.align)
        kept = keep_best(analysis, scores, allocation.allocate(problem))
    plan = make_plan(analysis, kept, settings_of(config, rigid))
    return _finish(loaded, analysis, cost, kept, plan, config, output, stages)


def apply(
    model: Source,
    plan: Plan | str | Path,
    *,
    output: str | Path | None = None,
    verify: bool = True,
    proof_memory: int = PROOF_MEMORY,
    observer: Observer | None = None,
) -> PruneResult:
    """Replay a plan on the model it was made for, or on one of the same structure.

    Raises:
        PlanError: the plan is broken or belongs to another graph.
        SpaError: as for :func:`prune`.
    """
    stages = Stages(observer)
    check_output(model, output)
    plan, name = read_plan(plan)
    config = replace(planned_config(plan, name, verify=verify), proof_memory=proof_memory)
    with stages("load"):
        loaded = load(model)
    check_weights(loaded, output)
    with stages("analyse"):
        rigid = rigid_nodes(plan, name)
        analysis = _analyse(normalise(loaded), config, rigid)
        cost = costs(analysis.propagation, [d.dim for d in analysis.dims], {})
        kept = plan.lanes(analysis, name)
    return _finish(loaded, analysis, cost, kept, plan, config, output, stages)


def analyze(
    model: Source,
    *,
    exclude: tuple[str, ...] = (),
    granularity: tuple[str, ...] = (),
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Analysis:
    """Return the prunable dims of a model, and the weight axes that are fixed with the reasons.

    Raises:
        UsageError: the granularity has an unknown word, or leaves nothing.
        ModelError: the model cannot be used.
    """
    config = PruneConfig(exclude=exclude, granularity=granularity, input_shapes=input_shapes or {})
    return _analyse(normalise(load(model)), config)


def verify(
    model: Source,
    pruned: Source,
    plan: Plan | str | Path,
    *,
    seed: int = 0,
    proof_memory: int = PROOF_MEMORY,
) -> Proof:
    """Prove that ``pruned`` is what ``plan`` makes of ``model``.

    Raises:
        ProofFailedError: it is not.
        SpaError: a model or the plan cannot be used.
    """
    from spa_onnx.prove.proof import prove

    plan, name = read_plan(plan)
    config = planned_config(plan, name, verify=True)
    loaded = load(model)
    rigid = rigid_nodes(plan, name)
    analysis = _analyse(normalise(loaded), config, rigid)
    kept = plan.lanes(analysis, name)
    shapes = config.input_shapes
    return prove(loaded, analysis, kept, load(pruned), seed, shapes, proof_memory)


# -- parts --------------------------------------------------------------------------------------


def _finish(
    loaded: LoadedModel,
    analysis: Analysis,
    cost: Costs,
    kept: Mapping[Dim, Kept],
    plan: Plan,
    config: PruneConfig,
    output: str | Path | None,
    stages: Stages,
) -> PruneResult:
    """Rewrite, write, prove and report; the file gets its name only after the proof."""
    with stages("rewrite"):
        rewritten = rewrite(analysis, kept)
    if output is None:
        with stages("write"):
            data = to_bytes(rewritten, loaded)
        proof = _prove(loaded, analysis, kept, data, config, stages)
        report = make_report(loaded, analysis, cost, kept, rewritten, plan, proof, stages.seconds)
        return PruneResult(plan, report, None, data)
    target = Path(output)
    with ExitStack() as stack:
        with stages("write"):
            file = stack.enter_context(pending_file(rewritten, loaded, target))
        proof = _prove(loaded, analysis, kept, file.path, config, stages)
        with stages("write"):
            file.commit()
    report = make_report(loaded, analysis, cost, kept, rewritten, plan, proof, stages.seconds)
    return PruneResult(plan, report, target)


def _prove(
    loaded: LoadedModel,
    analysis: Analysis,
    kept: Mapping[Dim, Kept],
    result: bytes | Path,
    config: PruneConfig,
    stages: Stages,
) -> Proof | None:
    if not config.verify:
        return None
    from spa_onnx.prove.proof import prove

    try:
        with stages("verify"):
            pruned, shapes = load(result), config.input_shapes
            return prove(loaded, analysis, kept, pruned, config.seed, shapes, config.proof_memory)
    except ProofFailedError as failure:
        failure.add_note(
            "Nothing was written; this is a defect of spa-onnx, please report the model"
        )
        raise


def _analyse(graph: Graph, config: PruneConfig, rigid: frozenset[str] = frozenset()) -> Analysis:
    check_input_shapes(graph, config.input_shapes)
    return analyse(graph, config.input_shapes, config.exclude, rigid, config.granularity)


def _main_reasons(analysis: Analysis) -> list[str]:
    """Return what fixed the heaviest weights, shortly."""
    reasons = dict.fromkeys(str(r) for axis in analysis.fixed[:8] for r in axis.reasons)
    return list(reasons)[:4]
