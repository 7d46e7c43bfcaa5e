"""The stages in order: load, normalise, analyse, score, allocate, rewrite, verify, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from spa_onnx.analyse.dims import Analysis, analyse
from spa_onnx.calibrate.engine import Passes
from spa_onnx.checks import check_input_shapes, check_output, check_weights
from spa_onnx.choose import choose
from spa_onnx.config import PROOF_MEMORY, PruneConfig
from spa_onnx.cost.polynomial import costs
from spa_onnx.defaults import names_passes, with_passes, without_runs
from spa_onnx.errors import CalibrationError, InternalError, NothingToPruneError
from spa_onnx.execute.session import RefusedError
from spa_onnx.finish import Choice, Finishing
from spa_onnx.inputs.sources import ReadOnce
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.plan.plan import Plan, make_plan
from spa_onnx.plan.settings import (
    is_repaired,
    planned_config,
    read_plan,
    rigid_nodes,
    settings_of,
)
from spa_onnx.result import PruneResult
from spa_onnx.rewrite.apply import CannotResizeError, rewrite
from spa_onnx.stages import Observer, Stages

if TYPE_CHECKING:
    from spa_onnx.prove.proof_values import Proof

Source = str | Path | onnx.ModelProto

NOT_RUN = "{}. So nothing was measured or repaired: the smallest weights went (--recipe magnitude)"


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
        config: what to remove and by which passes; by default half of every prunable dim, by the
            recipe for what is given, see :class:`PruneConfig`.
        output: where to write; without it the result stays in memory.
        observer: told of each stage.

    Raises:
        SpaError: see :mod:`spa_onnx.errors`; nothing is written then.
    """
    given = config or PruneConfig()
    config = with_passes(given)
    stages = Stages(observer)
    if config.calibration is not None:
        config = replace(config, calibration=ReadOnce(config.calibration))
    check_output(model, output)
    with stages("load"):
        loaded = load(model)
    check_weights(loaded, output)
    try:
        return _prune_rigid(loaded, config, output, stages)
    except CalibrationError as failure:
        if names_passes(given) or given.calibration is not None:
            raise
        note = NOT_RUN.format(failure)
        return _prune_rigid(loaded, without_runs(config), output, stages, (note,))


def _prune_rigid(
    loaded: LoadedModel,
    config: PruneConfig,
    output: str | Path | None,
    stages: Stages,
    notes: tuple[str, ...] = (),
) -> PruneResult:
    """Prune; nodes whose shapes turn out not to be correctable keep their axes whole."""
    passes = Passes.of(config)
    rigid = frozenset[str]()
    while True:
        try:
            return _prune(loaded, config, passes, output, stages, rigid, notes)
        except CannotResizeError as refusal:
            if refusal.node in rigid:
                raise InternalError(
                    f"{refusal.node}: shapes that change although fixed"
                ) from refusal
            rigid |= {refusal.node}  # keep the axes of this node whole, and start again
        except RefusedError as refusal:
            text = f"ONNX Runtime does not run a part of the model on these inputs: {refusal}"
            raise CalibrationError(text) from refusal


def _prune(
    loaded: LoadedModel,
    config: PruneConfig,
    passes: Passes,
    output: str | Path | None,
    stages: Stages,
    rigid: frozenset[str],
    notes: tuple[str, ...],
) -> PruneResult:
    with stages("analyse"):
        analysis = _analyse(normalise(loaded), config, rigid)
        if not analysis.dims:
            raise NothingToPruneError(_main_reasons(analysis), list(analysis.kinds()))
        cost = costs(analysis.propagation, [d.dim for d in analysis.dims], {})
    choice = choose(loaded, analysis, cost, config, passes, stages)
    choice = replace(choice, notes=notes + choice.notes)
    plan = make_plan(analysis, choice.kept, settings_of(config, rigid))
    parts = Finishing(loaded, analysis, cost, choice, plan, config, stages)
    return _finish(parts, output)


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
    return _finish(Finishing(loaded, analysis, cost, Choice(kept), plan, config, stages), output)


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

    Where the plan's run repaired weights, it is proved with the plan's weights in their place;
    what the repaired numbers do is not proved, only that they are finite.

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
    result = load(pruned)
    if not is_repaired(plan):
        return prove(loaded, analysis, kept, result, seed, shapes, proof_memory)
    from spa_onnx.prove.planned import with_planned_weights

    with with_planned_weights(result, rewrite(analysis, kept), loaded) as (planned, repaired):
        proof = prove(loaded, analysis, kept, planned, seed, shapes, proof_memory)
        return replace(proof, repaired=repaired)


# -- parts --------------------------------------------------------------------------------------


def _finish(parts: Finishing, output: str | Path | None) -> PruneResult:
    if output is None:
        report, data = parts.in_memory()
        return PruneResult(parts.plan, report, None, data)
    return PruneResult(parts.plan, parts.to_file(Path(output)), Path(output))


def _analyse(graph: Graph, config: PruneConfig, rigid: frozenset[str] = frozenset()) -> Analysis:
    check_input_shapes(graph, config.input_shapes)
    return analyse(graph, config.input_shapes, config.exclude, rigid, config.granularity)


def _main_reasons(analysis: Analysis) -> list[str]:
    """Return what fixed the heaviest weights, shortly."""
    reasons = dict.fromkeys(str(r) for axis in analysis.fixed[:8] for r in axis.reasons)
    return list(reasons)[:4]
