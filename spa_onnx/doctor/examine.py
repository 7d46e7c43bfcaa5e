"""Look at everything that lowered models need, in the order in which one thing rests on another."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

from spa_onnx import __version__
from spa_onnx.doctor.check import REINSTALL, Check, Diagnosis
from spa_onnx.doctor.gpu import gpu_facts
from spa_onnx.doctor.processor import instruction_sets, processor, threads
from spa_onnx.runtime.kernels import KernelSet, LibraryError, library_version, list_kernels
from spa_onnx.runtime.library import KernelsMissingError, library_path

PACKAGES = ("numpy", "onnx", "onnx-graphsurgeon", "networkx")
OLDEST_PYTHON = (3, 11)
OLDEST_RUNTIME = (1, 17)
"""The first ONNX Runtime whose interface has all that the operators use."""

FORCED = "SPA_ONNX_INSTRUCTION_SET"
"""Environment variable that names the kernels to run."""

SELF_TEST_SECONDS = 120.0


def examine(tell: Callable[[str], None]) -> Diagnosis:
    """Examine Python, packages, the runtime, the libraries, every operator, and the GPU."""
    facts = {
        "spa-onnx": __version__,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": processor(),
        "instruction sets": instruction_sets(),
        "threads": threads(),
    } | {name: _version(name) for name in PACKAGES}
    checks = [_python()]
    tell("onnxruntime")
    runtime = _runtime(facts)
    tell("native library")
    library, kernels = _library(facts)
    facts |= gpu_facts()
    checks += [runtime, library]
    if runtime.passed and library.passed:
        tell("self-test")
        checks += self_test()
    return Diagnosis(facts, kernels, checks)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _python() -> Check:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    passed = sys.version_info >= OLDEST_PYTHON
    return Check("Python", passed, platform.python_version(), f"Install Python {wanted} or newer")


def numeric(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, ``1.17.3+cu12`` as ``(1, 17, 3)``."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _runtime(facts: dict[str, str]) -> Check:
    """Import the runtime; more than one package of it overwrite each other's files."""
    owners = sorted(set(metadata.packages_distributions().get("onnxruntime", [])))
    try:
        import onnxruntime
    except ImportError as failure:
        return Check("onnxruntime", False, str(failure), "Run `pip install onnxruntime`")
    version: str = onnxruntime.__version__
    facts["onnxruntime"] = f"{version} ({', '.join(owners) or 'of no package'})"
    if len(owners) > 1:
        remedy = "Uninstall all of them, then install one"
        return Check("onnxruntime", False, f"installed by {' and '.join(owners)}", remedy)
    wanted = ".".join(map(str, OLDEST_RUNTIME))
    remedy = f"The operators need {wanted} or newer: run `pip install --upgrade onnxruntime`"
    return Check("onnxruntime", numeric(version) >= OLDEST_RUNTIME, version, remedy)


def _library(facts: dict[str, str]) -> tuple[Check, dict[str, str]]:
    """Load the library and list the kernels that run."""
    try:
        path = library_path()
        version = library_version(path)
        kernels = list_kernels(path)
    except (KernelsMissingError, LibraryError) as failure:
        return Check("native library", False, failure.problem, failure.remedy), {}
    facts["library"] = str(path)
    facts["library version"] = version or "not told"
    if forced := os.environ.get(FORCED):
        facts["instruction set asked for"] = f"{forced} ({FORCED})"
    chosen = [kernel.name for kernel in kernels if kernel.chosen]
    states = {kernel.name: _state(kernel) for kernel in kernels}
    if version is not None and version != __version__:
        found = f"version {version} with Python code of {__version__}"
        return Check("native library", False, found, REINSTALL), states
    found = f"kernels for {len(kernels)} instruction sets, {', '.join(chosen) or 'none'} in use"
    return Check("native library", bool(chosen), found, "" if chosen else REINSTALL), states


def _state(kernel: KernelSet) -> str:
    if kernel.chosen:
        return f"{kernel.instruction_set}, in use by every operator"
    has = "supported" if kernel.supported else "not supported by this processor"
    return f"{kernel.instruction_set}, {has}"


def self_test() -> list[Check]:
    """Try every operator in a process of its own."""
    # -P: modules in the folder where the user stands are none of ours.
    command = [sys.executable, "-P", "-m", "spa_onnx.doctor.self_test"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SELF_TEST_SECONDS
        )
    except subprocess.TimeoutExpired:
        found = f"did not end within {SELF_TEST_SECONDS:.0f} s"
        return [Check("self-test", False, found, "Run it again on a machine that is less busy")]
    checks = list(_lines(done.stdout))
    if done.returncode:
        checks.append(_crashed(done.returncode, done.stderr, checks))
    return checks


def _lines(text: str) -> Iterator[Check]:
    for line in text.splitlines():
        if line.startswith("{"):
            content: dict[str, Any] = json.loads(line)
            yield Check(**content)


def _crashed(status: int, said: str, before: list[Check]) -> Check:
    """Return what ended the self-test."""
    place = f"after {before[-1].name!r}" if before else "at the start"
    if status < 0:
        found = f"ended by {signal.Signals(-status).name} {place}"
    else:
        last = said.strip().splitlines()[-1:] or [f"exit status {status}"]
        found = f"failed {place}: {last[0]}"
    return Check("self-test", False, found, REINSTALL)
