"""A diagnosis as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.table import Table

from spa_onnx.doctor.check import Check, Diagnosis
from spa_onnx.report.words import count

SHOWN, LONGEST = 3, 300
"""Failed cases of a group, and characters of a message."""


def print_diagnosis(console: Console, diagnosis: Diagnosis) -> None:
    """Print facts, kernels, then checks with what to do about those that failed."""
    for title, rows in (
        ("", [*diagnosis.facts.items()]),
        ("kernels, fastest first", [*diagnosis.kernels.items()]),
        ("checks", [*_lines(diagnosis.checks)]),
    ):
        if title and rows:
            console.print(f"\n{title}", style="bold")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in rows:
            table.add_row(name, text)
        console.print(table)
    for remedy in dict.fromkeys(c.remedy for c in diagnosis.checks if not c.passed):
        console.print(f"\n{remedy[0].upper()}{remedy[1:]}.")
    if diagnosis.healthy:
        console.print("\nEverything is in order.")


def _lines(checks: Sequence[Check]) -> Iterator[tuple[str, str]]:
    """Yield a line for each check; of a group one line, and one for each that failed."""
    for name, parts in groupby(checks, lambda check: check.group or check.name):
        group = list(parts)
        if not group[0].group:
            yield name, f"{_word(group[0].passed)}  {group[0].found}"
            continue
        failed = [check for check in group if not check.passed]
        good = f"{len(group) - len(failed)} of {count(len(group), 'case')} as numpy"
        yield name, f"{_word(not failed)}  {good}"
        for check in failed[:SHOWN]:
            yield f"  {check.name}", short_of(check.found)
        if len(failed) > SHOWN:
            yield "  ...", f"{len(failed) - SHOWN} more; --json has them"


def short_of(text: str) -> str:
    """Return the beginning of a message."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _word(passed: bool) -> str:
    return "ok    " if passed else "FAILED"


def diagnosis_json(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as JSON text."""
    content = {"healthy": diagnosis.healthy} | asdict(diagnosis)
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
