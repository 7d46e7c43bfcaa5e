"""The process of one model: ``python -m spa_onnx.bench.worker FOLDER``.

It writes what it knows at every step, so that its death costs only what came after.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa_onnx.bench.job import PRUNED, Job, read_job, write_facts
from spa_onnx.bench.result import Analysed, Ending, Facts, Memory, Pruned, ReasonShare

if TYPE_CHECKING:
    from spa_onnx.analyse.dims import Analysis
    from spa_onnx.report.report import PruneReport

REASONS = 3
"""How many reasons for what stayed are kept."""

VICTIM = "1000"
"""Where memory runs out, the kernel should end this process and not who started it."""


@dataclass(slots=True)
class Log:
    """Collects facts and writes them at the start of every stage."""

    folder: Path
    facts: Facts = field(default_factory=Facts)

    def enter(self, stage: str) -> None:
        """Note that a stage begins."""
        self.note(stage=stage)

    def note(self, **values: Any) -> None:
        """Note facts by name."""
        self.facts = replace(self.facts, **values)
        write_facts(self.folder, self.facts)


@dataclass(slots=True)
class Watch:
    """Times the stages of a run and measures memory where the proof begins.

    A run that ends early has no report, so the times of its stages are taken here.
    """

    log: Log
    base: int
    compiler: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _since: float = 0.0

    def __call__(self, stage: str) -> None:
        """Observe that a stage begins."""
        self.stop()
        if stage == "verify":
            self.compiler = largest_resident()
            import_module("spa_onnx.prove.proof")  # its libraries are not to be timed with it
        self.log.enter(stage)
        self._stage, self._since = stage, time.perf_counter()

    def stop(self) -> None:
        """Close the stage that runs."""
        if self._stage:
            spent = time.perf_counter() - self._since
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
        self._stage = ""

    def memory(self) -> Memory:
        """Return the largest sizes so far."""
        now = largest_resident()
        return Memory(self.base, self.compiler or now, now)


def largest_resident() -> int:
    """Return the largest resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(folder: Path) -> None:
    """Do the job that lies in a folder and leave facts there."""
    job = read_job(folder)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(VICTIM)
    if job.memory_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (job.memory_limit, job.memory_limit))
    log = Log(folder)
    log.enter("import")
    if not job.original_only:
        _guarded(log, lambda: _prune(job, log))
    _guarded(log, lambda: _compare(job, log))
    log.enter("done")


def _guarded(log: Log, step: Callable[[], None]) -> None:
    """Run a step; what it raises becomes facts, the first error before any other."""
    from spa_onnx.bench.validity import shortened

    try:
        step()
    except Exception as failure:  # whatever it is, it belongs into the table
        if not log.facts.error:
            ending = _ending(failure)
            text = shortened(str(failure))
            log.note(error=type(failure).__name__, text=text, ending=ending)


def _ending(failure: Exception) -> Ending:
    from spa_onnx.errors import InternalError, ProofFailedError, SpaError

    memory = isinstance(failure, MemoryError)
    if memory or "bad_alloc" in str(failure) or "bad allocation" in str(failure):
        return "out of memory"
    if isinstance(failure, ProofFailedError):
        return "failed proof"
    if isinstance(failure, SpaError) and not isinstance(failure, InternalError):
        return "refused"
    return "crash"


def _prune(job: Job, log: Log) -> None:
    """Prune into the job's folder."""
    from spa_onnx.allocate.budget import Ratio
    from spa_onnx.config import PruneConfig
    from spa_onnx.pipeline import prune

    import_module("networkx")  # late in the analysis, and of some models only
    config = PruneConfig(Ratio(job.ratio), importance=job.importance, verify=job.proved)
    watch = Watch(log, largest_resident())
    try:
        report = prune(job.model, config, output=log.folder / PRUNED, observer=watch).report
    except BaseException:
        watch.stop()
        log.note(seconds=watch.seconds, memory=watch.memory())
        raise
    log.note(seconds=dict(report.seconds), memory=watch.memory(), pruned=_pruned(report))


def _pruned(report: PruneReport) -> Pruned:
    before, after, proof = report.before, report.after, report.proof
    return Pruned(
        parameters=1 - after.parameters / max(1, before.parameters),
        operations=1 - after.operations / max(1, before.operations),
        difference=_finite(proof.largest) if proof else None,
        power=_finite(proof.power) if proof else None,
        uncompared=len(proof.skipped) if proof else 0,
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _compare(job: Job, log: Log) -> None:
    """Analyse the original for reasons and inputs, then ask ONNX Runtime about both files."""
    from spa_onnx.bench.validity import check_original, check_result
    from spa_onnx.errors import SpaError
    from spa_onnx.pipeline import analyze

    analysis = None
    if not job.original_only:
        log.enter("explain")
        with suppress(SpaError):  # the same as that of pruning, which is noted
            analysis = analyze(job.model)
        if analysis is not None:
            log.note(analysed=_analysed(analysis))
    log.enter("original")
    state = analysis.propagation if analysis is not None else None
    original, feeds = check_original(Path(job.model), state)
    log.note(original=original)
    if log.facts.pruned is not None:
        log.enter("check")
        log.note(result=check_result(log.folder / PRUNED, Path(job.model), feeds))


def _analysed(analysis: Analysis) -> Analysed:
    import numpy as np

    from spa_onnx.cost.polynomial import costs
    from spa_onnx.report.make import refusals

    dims = [d.dim for d in analysis.dims]
    cost = costs(analysis.propagation, dims, {}).parameters
    full = cost.at(np.array([d.size for d in dims], np.int64))
    rest = cost.at(np.zeros(len(dims), np.int64))
    unknown = analysis.propagation.unknown_ops
    return Analysed(
        nodes=len(analysis.propagation.graph.nodes),
        parameters=round(full),
        prunable=(full - rest) / full if full else 0.0,
        dims=len(dims),
        reasons=_reasons(refusals(analysis), max(1.0, full)),
        unknown_operators={operator: len(nodes) for operator, nodes in unknown.items()},
    )


def _reasons(refusals: Any, parameters: float) -> tuple[ReasonShare, ...]:
    """Return the heaviest reasons; those that nobody can change come last."""
    from spa_onnx.report.causes import group_causes

    found = []
    for group in group_causes(refusals)[:REASONS]:
        text = "; ".join(f"{operator}: {why}" for operator, why in group.kinds)
        found.append(ReasonShare(text or "no reason was recorded", group.parameters / parameters))
    return tuple(found)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
