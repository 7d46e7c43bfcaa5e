"""What the library tells of itself: instruction sets as in kernels.inc, and its version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spa_onnx
from spa_onnx.runtime.kernels import KernelSet, library_version
from spa_onnx.runtime.library import library_path
from tests.runtime_kernels.kernel_library import kernel_params, kernel_sets, needs_kernels

pytestmark = needs_kernels

ROOT = Path(__file__).parents[3]
SETTING = "SPA_ONNX_INSTRUCTION_SET"

CHOSEN = """
from spa_onnx.runtime.kernels import list_kernels
from spa_onnx.runtime.library import library_path
print(*(kernels.name for kernels in list_kernels(library_path()) if kernels.chosen))
"""


def chosen_with(setting: str | None) -> str:
    """Return what kernels the ops of a new process run."""
    environment = {name: value for name, value in os.environ.items() if name != SETTING}
    if setting is not None:
        environment[SETTING] = setting
    command = [sys.executable, "-c", CHOSEN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def test_the_list_is_the_lines_of_kernels_inc_in_order() -> None:
    text = (ROOT / "runtime_kernels" / "kernels" / "kernels.inc").read_text()
    lines = re.findall(r"^SPA_KERNELS\((\w+), (\w+)\)$", text, re.MULTILINE)
    listed = [(kernels.name, kernels.instruction_set) for kernels in kernel_sets()]
    assert listed == [line for line in lines if line in listed]
    assert listed[-1] == lines[-1] == ("portable", "any")
    assert len(set(listed)) == len(listed)


def test_the_portable_kernels_run_everywhere() -> None:
    assert kernel_sets()[-1].supported


def test_the_fastest_supported_kernels_are_chosen() -> None:
    fastest = next(kernels.name for kernels in kernel_sets() if kernels.supported)
    assert chosen_with(None) == fastest


@pytest.mark.parametrize("kernels", kernel_params())
def test_the_environment_chooses_among_supported_kernels(kernels: KernelSet) -> None:
    assert chosen_with(kernels.name) == kernels.name


@pytest.mark.parametrize("name", ["", "sse9", "AVX2"])
def test_names_of_no_kernels_choose_nothing(name: str) -> None:
    assert chosen_with(name) == chosen_with(None)


def test_the_library_is_of_our_version() -> None:
    written = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert written is not None
    assert library_version(library_path()) == written[1] == spa_onnx.__version__
