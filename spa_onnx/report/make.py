"""Make the report of a run from the values of its stages."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spa_onnx.algebra.expression import Dim, IntArray
from spa_onnx.analyse.dims import Analysis
from spa_onnx.cost.polynomial import Costs
from spa_onnx.load.model import LoadedModel
from spa_onnx.plan.lanes import Kept
from spa_onnx.plan.plan import Plan
from spa_onnx.prove.proof_values import Proof
from spa_onnx.report.report import (
    DimReport,
    LatencyReport,
    PruneReport,
    Refusal,
    RepairReport,
    Sizes,
    library_versions,
)
from spa_onnx.rewrite.apply import Rewritten

AS_GOOD_AS_CONSTANT = 1.0
"""Distance of outputs that do not depend on the inputs."""

NO_POWER = 1e-3
"""Distance between reference and original below which a proof shows nothing."""


def make_report(
    loaded: LoadedModel,
    analysis: Analysis,
    cost: Costs,
    kept: Mapping[Dim, Kept],
    rewritten: Rewritten,
    plan: Plan,
    proof: Proof | None,
    seconds: Mapping[str, float],
    repair: RepairReport | None = None,
    notes: tuple[str, ...] = (),
    latency: LatencyReport | None = None,
) -> PruneReport:
    """Return the report of a finished run."""
    before = np.array([d.dim.size for d in analysis.dims], np.int64)
    after = np.array(
        [kept[d.dim].count if d.dim in kept else d.dim.size for d in analysis.dims], np.int64
    )
    return PruneReport(
        model=loaded.label,
        before=sizes_at(cost, before),
        after=sizes_at(cost, after),
        dims=dim_reports(analysis, after),
        refusals=refusals(analysis),
        unknown_operators={
            op: len(nodes) for op, nodes in analysis.propagation.unknown_ops.items()
        },
        proof=proof,
        seconds=dict(seconds),
        settings={k: v for k, v in plan.settings.items() if k != "versions"},
        versions=library_versions(),
        notes=notes
        + distance_notes(repair)
        + _notes(analysis, rewritten, plan, proof)
        + latency_notes(latency),
        repair=repair,
        latency=latency,
    )


def sizes_at(cost: Costs, widths: IntArray) -> Sizes:
    """Return what a model of these widths costs."""
    return Sizes(
        round(cost.parameters.at(widths)),
        round(cost.operations.at(widths)),
        round(cost.bytes.at(widths)),
    )


def dim_reports(analysis: Analysis, after: IntArray) -> tuple[DimReport, ...]:
    """Return the widths of all prunable dims."""
    return tuple(
        DimReport(
            d.name,
            d.dim.size,
            int(width),
            d.rows is not None,
            tuple(dict.fromkeys(m.tensor for m in d.members)),
        )
        for d, width in zip(analysis.dims, after, strict=True)
    )


def refusals(analysis: Analysis) -> tuple[Refusal, ...]:
    """Return the weight axes that stay whole."""
    return tuple(
        Refusal(f.tensor, f.axis, f.size, f.parameters, tuple(map(str, f.reasons)))
        for f in analysis.fixed
    )


def distance_notes(repair: RepairReport | None) -> tuple[str, ...]:
    """Return what a user should know: that plain L2's distance is less, or that it is large."""
    if repair is None:
        return ()
    notes = []
    if repair.plain is not None and repair.plain < repair.after:
        notes.append(
            f"on these inputs plain L2 at the same budget, unrepaired, is nearer to the original: "
            f"{repair.plain:.2g} against {repair.after:.2g}. --recipe magnitude takes it"
        )
    if repair.after >= AS_GOOD_AS_CONSTANT:
        notes.append(
            "the outputs say no more of the original's than constants would: cut less, or "
            "calibrate with inputs of the model's own kind (--calib)"
        )
    return tuple(notes)


LATE, UNSTEADY = 1.01, 0.5
"""Share of a latency budget above which a result misses it; spread at which a machine is busy."""


def latency_notes(latency: LatencyReport | None) -> tuple[str, ...]:
    """Return what a user should know of a latency: that it was missed, or is uncertain."""
    if latency is None:
        return ()
    notes = []
    if latency.measured > LATE * latency.target:
        notes.append("measured again at the end, the result is slower than --max-latency")
    if latency.spread > UNSTEADY:
        notes.append("the machine was busy: latencies are uncertain, measure again on an idle one")
    return tuple(notes)


def _notes(
    analysis: Analysis, rewritten: Rewritten, plan: Plan, proof: Proof | None
) -> tuple[str, ...]:
    notes = [f"--exclude {p!r} names nothing in the model" for p in analysis.unmatched]
    if rewritten.dropped_nodes:
        notes.append(f"{len(rewritten.dropped_nodes)} nodes that computed old shapes were dropped")
    if plan.settings.get("input_shapes"):
        notes.append("shapes given with --input-shape may be written into the result's constants")
    if proof is None:
        notes.append("the result was not proved (--no-verify)")
    elif proof.power < NO_POWER:
        notes.append(
            "the proof has no power here: the removed lanes do not change any compared tensor"
        )
    if proof is not None and any(d.amplified for d in (*proof.outputs, *proof.inner)):
        notes.append("the network amplifies rounding: differences were held against its own noise")
    if proof is not None:
        notes += proof.limits
    return tuple(notes)
