"""Start the process of a model, wait for it with a limit, and say how it ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import Literal

from spa_onnx.bench.job import COMPLAINTS, Job, read_facts, write_job
from spa_onnx.bench.result import Check, Facts, Outcome
from spa_onnx.errors import BenchFileError

TAIL = 4096
"""Bytes of standard error that are searched for a last word."""

End = Literal["done", "crash", "timeout"]


class StoppedError(Exception):
    """The bench ends, and no process may start any more."""


@dataclass(slots=True)
class Processes:
    """The processes that run now, so that all can be ended."""

    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def stop(self) -> None:
        """End all processes, and let none start."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def run(self, folder: Path, limit: float) -> tuple[End, str]:
        """Run the worker on the job in a folder; return how it ended, and its last word.

        Raises:
            StoppedError: the bench ends.
        """
        # -P: modules in the folder where the user stands are none of ours.
        command = [sys.executable, "-P", "-m", "spa_onnx.bench.worker", str(folder)]
        with (folder / COMPLAINTS).open("wb") as complaints:
            with self._lock:
                if self._stopped:
                    raise StoppedError
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    start_new_session=True,  # Ctrl-C reaches the bench, which ends its processes
                )
                self._running.add(process)
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                return "timeout", f"no result after {limit:g} s"
            finally:
                process.kill()
                process.wait()
                with self._lock:
                    self._running.discard(process)
        if self._stopped:
            raise StoppedError
        return ("done", "") if code == 0 else ("crash", _last_word(folder, code))


def _last_word(folder: Path, code: int) -> str:
    if code < 0:
        name = Signals(-code).name
        advice = "; the kernel does this when memory runs out" if name == "SIGKILL" else ""
        return f"ended by {name}{advice}"
    data = (folder / COMPLAINTS).read_bytes()[-TAIL:]
    lines = data.decode("utf-8", "replace").strip().splitlines()
    return f"exit code {code}: {lines[-1].strip()}" if lines else f"exit code {code}"


def take_turn(
    processes: Processes, job: Job, limit: float, scratch: Path | None
) -> tuple[Outcome, Facts]:
    """Prune one model in a process of its own; return how that ended and what is known.

    A process that dies before ONNX Runtime had the original is followed by one that only asks it.

    Raises:
        StoppedError: the bench ends.
    """
    with tempfile.TemporaryDirectory(prefix="spa-bench-", dir=scratch) as name:
        folder = Path(name)
        write_job(folder, job)
        end, text = processes.run(folder, limit)
        facts = _facts(folder)
        if facts.stage == "done":  # a library that fails while Python ends costs nothing
            end = "done"
        if end != "done":
            facts = replace(facts, error=facts.error or end, text=facts.text or text)
            facts = _settled(processes, job, limit, folder, end, facts)
    facts = _without_places(facts, (str(folder), str(Path(job.model).parent)))
    return outcome_of(end, facts, job.proved), facts


def _without_places(facts: Facts, folders: Sequence[str]) -> Facts:
    """Leave only the names of files in texts; their folders are nobody else's concern."""

    def plain(text: str) -> str:
        for folder in folders:
            text = text.replace(f"{folder}/", "")
        return text

    def of(check: Check | None) -> Check | None:
        return None if check is None else replace(check, problem=plain(check.problem))

    return replace(
        facts, text=plain(facts.text), original=of(facts.original), result=of(facts.result)
    )


def _settled(
    processes: Processes, job: Job, limit: float, folder: Path, end: End, facts: Facts
) -> Facts:
    """Tell what the death of a process says about the original and about the pruned file."""
    died = Check(loads=False, problem=f"the process died over it: {facts.text}")
    if end == "crash" and facts.stage == "check":
        return replace(facts, result=died)
    if end == "crash" and facts.stage == "original":
        return replace(facts, original=died)
    if facts.original is not None:
        return facts
    write_job(folder, replace(job, original_only=True))
    end, text = processes.run(folder, limit)
    if end == "crash":
        problem = f"the process died over it: {text}"
        return replace(facts, original=Check(loads=False, problem=problem))
    return replace(facts, original=_facts(folder).original)


def _facts(folder: Path) -> Facts:
    try:
        return read_facts(folder)
    except BenchFileError as failure:  # a process that broke its own memory
        return Facts(error="crash", text=str(failure))


def outcome_of(end: End, facts: Facts, proved: bool) -> Outcome:
    """Return the worst that happened in a turn.

    What ONNX Runtime does not load counts as such, unless our own stages died over it.
    """
    loads = facts.original is None or facts.original.loads
    if end != "done":
        if facts.result is not None:
            return "invalid"
        over_original = facts.stage in ("original", "verify") and not loads
        return "not loadable" if over_original else end
    if facts.ending in ("crash", "out of memory"):
        return facts.ending
    if facts.ending == "failed proof":
        return "failed proof"
    if not loads:
        return "not loadable"
    if facts.ending == "refused":
        return "refused"
    if facts.result is None or not facts.result.loads or facts.result.runs is False:
        return "invalid"
    return "proved" if proved else "not proved"
