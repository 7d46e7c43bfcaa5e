"""The fuzz target over packed weights, where a native build made it: make kernels-sanitize."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.runtime_kernels.fuzz.seeds import write_seeds

PROGRAM = os.environ.get("SPA_ONNX_FUZZ_PACKED", "")
SECONDS = 60
RUNS = 2_000_000
"""More than a sanitized build does in that time."""

pytestmark = pytest.mark.skipif(not PROGRAM, reason="SPA_ONNX_FUZZ_PACKED names no fuzz target")


def fuzz(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def counts(said: str) -> list[int]:
    """Return seeds, accepted seeds, runs and accepted mutations."""
    found = re.fullmatch(r"seeds (\d+) accepted (\d+) runs (\d+) accepted (\d+)\n", said)
    assert found, said
    return [int(text) for text in found.groups()]


def test_no_mutation_of_a_packed_weight_makes_a_kernel_leave_its_buffers(tmp_path: Path) -> None:
    paths = write_seeds(tmp_path)
    done = fuzz("--seconds", str(SECONDS), "--runs", str(RUNS), *paths)
    assert done.returncode == 0, done.stdout + done.stderr
    seeds, sound, runs, accepted = counts(done.stdout)
    assert seeds == len(paths)
    assert sound == 2 * seeds  # as they are, and sealed once more
    assert runs > 500
    assert accepted > runs / 100  # what the parser refuses reaches no kernel


def test_the_same_arguments_make_the_same_mutations(tmp_path: Path) -> None:
    paths = write_seeds(tmp_path)
    first, second = (fuzz("--runs", "50", *paths).stdout for _ in range(2))
    assert first == second
    assert fuzz("--runs", "50", "--first", "50", *paths).stdout != first


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--runs", "1"], "no seeds"),
        (["gone.packed"], "cannot read"),
        (["--odd", "1"], "no option"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], text: str) -> None:
    done = fuzz(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
