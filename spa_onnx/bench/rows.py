"""Models with their results, and what both say together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from spa_onnx.bench.result import Result
from spa_onnx.bench.zoo import Entry
from spa_onnx.report.text import WORTH_SAYING

USUAL = 0.6
"""Share of the parameters below which a model at ratio 0.5 needs a written reason."""

SLACK = 5e-4
"""Shares are written down in tenths of a percent."""


@dataclass(frozen=True, slots=True)
class Row:
    """A model and what came of it.

    Attributes:
        entry: the model and what is expected.
        result: None where there is no file.
        expects_share: whether ``entry.least`` holds for this run.
    """

    entry: Entry
    result: Result | None
    expects_share: bool = True

    @property
    def loads(self) -> bool:
        """Say whether there is a file and ONNX Runtime loads it; in doubt it does."""
        return self.result is not None and self.result.loads

    @property
    def removed(self) -> float | None:
        """Return the share of parameters removed, None where no valid file came out."""
        return self.result.removed if self.result else None

    @property
    def pruned(self) -> bool:
        """Say whether a valid file came out, proved where the proof was asked for."""
        return self.removed is not None

    @property
    def low(self) -> bool:
        """Say whether less went than usual, so that a reason is due."""
        return self.removed is not None and self.removed < USUAL - SLACK

    def reasons(self, number: int) -> str:
        """Return what keeps most parameters whole, as measured; what hardly counts is left out."""
        analysed = self.result.facts.analysed if self.result else None
        told = [r for r in analysed.reasons if r.share >= WORTH_SAYING] if analysed else []
        return "; ".join(f"{100 * min(1.0, r.share):.0f} %: {r.reason}" for r in told[:number])

    @property
    def error(self) -> str:
        """Return what went wrong, with its class; empty where nothing did."""
        if self.result is None:
            return self.entry.failure
        facts = self.result.facts
        if self.result.outcome == "invalid" and facts.result is not None:
            return facts.result.problem
        if self.result.outcome == "not loadable" and facts.original is not None:
            return facts.original.problem
        return f"{facts.error}: {facts.text}" if facts.error else ""

    @property
    def shortfall(self) -> str:
        """Return in what the result is below what is expected; empty where it is not."""
        if self.result is None or not self.loads:
            return ""
        if self.removed is None:
            expected = self.result.outcome == "refused" and self.entry.refusal
            if expected and self.entry.refusal in self.result.facts.text:
                return ""
            return self.result.outcome
        if self.expects_share and self.removed < self.entry.least - SLACK:
            return f"removed less than {percent(self.entry.least)}"
        return ""

    @property
    def better(self) -> bool:
        """Say whether a written reason for less no longer holds."""
        excused = bool(self.entry.reason or self.entry.refusal)
        return excused and self.expects_share and self.pruned and not self.low


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent, empty where there is none."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def middle(numbers: Iterable[float | None]) -> float | None:
    """Return the median of the numbers that are there."""
    there = [number for number in numbers if number is not None]
    return median(there) if there else None


@dataclass(frozen=True, slots=True)
class Counts:
    """What a set of rows adds up to.

    Attributes:
        listed: models of the list.
        exported: of these, with a file.
        loaded: of these, that ONNX Runtime loads.
        pruned: of these, with a valid file, proved where that was asked for.
        written: files written, valid or not.
        bad: of these, invalid ones.
        removed: median share of parameters removed.
        least: smallest share.
        compile_seconds: median of analysis and rewriting.
        proof_seconds: median.
    """

    listed: int
    exported: int
    loaded: int
    pruned: int
    written: int
    bad: int
    removed: float | None
    least: float | None
    compile_seconds: float | None
    proof_seconds: float | None


def count(rows: Sequence[Row]) -> Counts:
    """Return the counts of a set of rows."""
    results = [row.result for row in rows if row.result is not None]
    pruned = [row for row in rows if row.pruned]
    shares = [row.removed for row in pruned if row.removed is not None]
    return Counts(
        listed=len(rows),
        exported=len(results),
        loaded=sum(row.loads for row in rows),
        pruned=len(pruned),
        written=sum(result.facts.pruned is not None for result in results),
        bad=sum(result.outcome == "invalid" for result in results),
        removed=middle(shares),
        least=min(shares, default=None),
        compile_seconds=middle(row.result.compile_seconds for row in pruned if row.result),
        proof_seconds=middle(
            row.result.facts.seconds.get("verify") for row in pruned if row.result
        ),
    )
