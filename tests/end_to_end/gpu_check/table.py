"""Step ``table``: layers timed against cuBLASLt, what tells most first, while there is time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.end_to_end.gpu_check.place import Place
from tests.end_to_end.gpu_check.result import StepResult

SECONDS = 160.0
MARGIN = 20.0
"""Seconds that the last layer may take."""


def time_table(place: Place, *, every_kernel: bool = False) -> StepResult:
    """Time layers in a process of their own, which writes what it has as it goes."""
    if place.emulated:
        return StepResult("times of an emulated device mean nothing", is_skipped=True)
    out = place.folder / "table.json"
    out.unlink(missing_ok=True)
    seconds = max(0.0, min(SECONDS, place.left) - MARGIN)
    words = ["-m", "tests.end_to_end.gpu_check.timed_layers", out, f"{seconds:.0f}"]
    done = place.python(*words, *(["--every-kernel"] if every_kernel else []), limit=SECONDS)
    if not out.is_file():
        return StepResult(done.problem or "nothing was written")
    facts = json.loads(out.read_text("utf-8"))
    return StepResult(done.problem, facts=facts, line=line_of(facts))


def line_of(facts: dict[str, Any]) -> str:
    """Return how much was timed."""
    left = facts["not_measured"]
    return f"{len(facts['layers'])} layers" + (f", {left} for want of time not" if left else "")


def rows_of(facts: dict[str, Any]) -> list[list[str]]:
    """Return the means for people."""
    return [
        [mean["group"], mean["pattern"], f"{100 * mean['sparsity']:g} %", str(mean["layers"]),
         f"{mean['mean']:.2f} ({mean['least']:.2f}-{mean['greatest']:.2f})"]
        for mean in facts.get("means", [])
    ]  # fmt: skip


def written(path: Path, facts: object) -> None:
    """Write what there is, at once or not at all."""
    fresh = path.with_name(f"{path.name}.tmp")
    fresh.write_text(json.dumps(facts, allow_nan=False), "utf-8")
    fresh.replace(path)
