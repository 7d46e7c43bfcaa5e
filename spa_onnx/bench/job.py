"""What the process of one model is told, and the files in which it answers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.bench.result import Facts

FACTS = "facts.json"
JOB = "job.json"
PRUNED = "pruned.onnx"
COMPLAINTS = "stderr.txt"
"""Names inside the folder that belongs to one process."""


@dataclass(frozen=True, slots=True)
class Job:
    """One model to prune.

    Attributes:
        model: its path.
        ratio: share of every dim that goes.
        importance: name of the pass.
        proved: whether the proof is on.
        memory_limit: bytes that the process may allocate; 0 without a limit.
        original_only: only ask ONNX Runtime for the original, after a process that died.
    """

    model: str
    ratio: float
    importance: str
    proved: bool
    memory_limit: int = 0
    original_only: bool = False


def write_job(folder: Path, job: Job) -> None:
    """Leave a job where its process looks for it."""
    (folder / JOB).write_text(json.dumps(asdict(job)), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """Return the job of a process."""
    return decode(Job, parse(read_text(folder / JOB), JOB), JOB)


def write_facts(folder: Path, facts: Facts) -> None:
    """Leave what is known so far; whoever reads it finds the old or the new text whole."""
    temporary = folder / f"{FACTS}.new"
    temporary.write_text(json.dumps(asdict(facts), allow_nan=False), encoding="utf-8")
    temporary.replace(folder / FACTS)


def read_facts(folder: Path) -> Facts:
    """Return what a process left."""
    if not (folder / FACTS).exists():
        return Facts()
    return decode(Facts, parse(read_text(folder / FACTS), FACTS), FACTS)
