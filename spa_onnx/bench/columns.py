"""The columns of a row: one model, one number each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spa_onnx.bench.result import Result
from spa_onnx.bench.rows import percent


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of models; ``proof`` marks those that need one."""

    title: str
    text: Callable[[Result], str]
    proof: bool = False


def _stage(name: str) -> Callable[[Result], str]:
    def text(result: Result) -> str:
        return seconds(result.facts.seconds.get(name), "")

    return text


COLUMNS = (
    Column("model", lambda r: r.model),
    Column("outcome", lambda r: r.outcome),
    Column("nodes", lambda r: f"{r.facts.analysed.nodes}" if r.facts.analysed else ""),
    Column("parameters", lambda r: f"{r.facts.analysed.parameters:,}" if r.facts.analysed else ""),
    Column("prunable", lambda r: percent(r.facts.analysed.prunable) if r.facts.analysed else ""),
    Column("removed", lambda r: percent(r.removed)),
    Column("operations", lambda r: percent(r.facts.pruned.operations) if r.facts.pruned else ""),
    Column("difference", lambda r: _difference(r), proof=True),
    Column("power", lambda r: _power(r), proof=True),
    Column("load s", _stage("load")),
    Column("analyse s", _stage("analyse")),
    Column("rewrite s", _stage("rewrite")),
    Column("write s", _stage("write")),
    Column("proof s", _stage("verify"), proof=True),
    Column("file MB", lambda r: f"{r.bytes / 1e6:.1f}"),
    Column("peak MB", lambda r: megabytes(r.facts.memory.compiler if r.facts.memory else None, "")),
    Column(
        "with proof MB",
        lambda r: megabytes(r.facts.memory.whole if r.facts.memory else None, ""),
        proof=True,
    ),
)


def _difference(result: Result) -> str:
    pruned = result.facts.pruned
    return "" if pruned is None or pruned.difference is None else f"{pruned.difference:.1e}"


def _power(result: Result) -> str:
    pruned = result.facts.pruned
    return "" if pruned is None or pruned.power is None else f"{pruned.power:.2f}"


def seconds(number: float | None, unit: str = " s") -> str:
    """Return seconds for a cell, empty where there are none."""
    return "" if number is None else f"{number:.2f}{unit}"


def megabytes(number: float | None, unit: str = " MB") -> str:
    """Return bytes in megabytes for a cell, empty where there are none."""
    return "" if number is None else f"{number / 1e6:.0f}{unit}"
