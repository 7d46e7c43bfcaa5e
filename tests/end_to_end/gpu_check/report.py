"""The JSON of a check, and the short table."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from spa_onnx.bench.kernels.cuda.as_json import machine, today
from spa_onnx.bench.kernels.page import aligned
from spa_onnx.runtime.cuda import CudaError, CudaLibrary
from spa_onnx.runtime.cuda_abi import CudaLibraryError
from tests.end_to_end.gpu_check.place import ROOT, Place
from tests.end_to_end.gpu_check.table import rows_of

PACKAGES = ("numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "ml_dtypes", "torch", "transformers")
VERSION = 1


def described(place: Place) -> dict[str, Any]:
    """Return what is known of the machine: of the GPU nothing where it cannot be asked."""
    try:
        return machine(CudaLibrary.open(place.cuda_library).device())
    except (CudaError, CudaLibraryError) as failure:
        return {"device": "", "problem": str(failure)}


def versions() -> dict[str, str]:
    """Return the versions of what took part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def default_path(device: str) -> Path:
    """Return where the report of a device is kept."""
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-") or "no-gpu"
    return ROOT / "docs/gpu" / f"{name}.json"


class OtherReportError(Exception):
    """A report that another one cannot be joined with."""


def kept_steps(path: Path, found: Mapping[str, Any], sources: str) -> dict[str, Any]:
    """Return the steps of an earlier report of the same device, driver and sources.

    Raises:
        OtherReportError: it is of others.
    """
    if not path.is_file():
        return {}
    before = json.loads(path.read_text("utf-8"))
    told = {name: before["machine"].get(name) for name in ("device", "driver")}
    now = {name: found.get(name) for name in told}
    if (told, before["sources"]) != (now, sources):
        raise OtherReportError(f"{path} is of {told} and sources {before['sources']!r}")
    steps: dict[str, Any] = before["steps"]
    return steps


def write_report(
    path: Path, found: Mapping[str, Any], sources: str, steps: Mapping[str, Any]
) -> None:
    """Write everything as one object."""
    content = {
        "version": VERSION,
        "date": today(),
        "sources": sources,
        "machine": dict(found),
        "versions": versions(),
        "steps": dict(steps),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def tables(steps: Mapping[str, Any], lines: Mapping[str, str]) -> str:
    """Return the steps and the means of layers for people."""
    shown = [
        [name, step["status"], f"{step['seconds']:.0f} s", lines.get(name, "")]
        for name, step in steps.items()
    ]
    parts = [aligned(("step", "", "time", ""), shown, 9)]
    means = rows_of(steps.get("table", {}))
    if means:
        parts.append(aligned(("group", "pattern", "zeros", "layers", "ratio"), means, 2))
    problems = [f"{n}: {s['problem']}" for n, s in steps.items() if s["problem"]]
    return "\n\n".join([*parts, *problems])


def failed(steps: Mapping[str, Any]) -> Sequence[str]:
    """Return the steps that failed."""
    return [name for name, step in steps.items() if step["status"] == "failed"]
