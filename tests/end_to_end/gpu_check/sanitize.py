"""Step ``sanitize``: a short run of every kernel under compute-sanitizer."""

from __future__ import annotations

import re
import shutil
import sys
from typing import Any

from tests.end_to_end.gpu_check.place import Place
from tests.end_to_end.gpu_check.result import StepResult

TOOLS = {"memcheck": ("--leak-check", "full"), "racecheck": ("--racecheck-report", "all")}
FOUND = 9
"""Status by which the sanitizer says that it found something."""

SECONDS = 150.0
SUMMARY = re.compile(r"={3,} (?:ERROR|RACECHECK|LEAK) SUMMARY: .*")
RAN = re.compile(r"(\d+) kernels ran")

SCRIPT = ("-m", "tests.end_to_end.gpu_check.every_kernel")


def sanitize(place: Place) -> StepResult:
    """Run every kernel under each tool; the emulated ones check themselves."""
    if place.emulated:
        done = place.python(*SCRIPT, limit=SECONDS)
        return StepResult(done.problem, facts={"tools": {}}, line=_ran(done.output))
    program = shutil.which("compute-sanitizer")
    if program is None:
        return StepResult("compute-sanitizer is not on the PATH; it comes with the CUDA toolkit")
    tools: dict[str, Any] = {}
    problems: list[str] = []
    for tool, options in TOOLS.items():
        command = [program, "--tool", tool, "--error-exitcode", str(FOUND), *options]
        done = place.run([*command, sys.executable, *SCRIPT], SECONDS)
        problem = done.problem or ("" if RAN.search(done.output) else "no kernel ran")
        tools[tool] = {
            "seconds": round(done.seconds, 1),
            "kernels": _ran(done.output),
            "summary": SUMMARY.findall(done.output),
            "problem": problem,
        }
        problems += [f"{tool}: {problem}"] if problem else []
    line = ", ".join(f"{tool} {'found faults' if t['problem'] else 'clean'}"
                     for tool, t in tools.items())  # fmt: skip
    return StepResult("\n".join(problems), facts={"tools": tools}, line=line)


def _ran(output: str) -> str:
    found = RAN.search(output)
    return found[0] if found else ""
