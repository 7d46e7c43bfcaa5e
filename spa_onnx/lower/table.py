"""What was measured on this machine, kept for the next run.

A file for each machine, library, runtime and number of threads; a line for each layer. A file that
cannot be read, or is of another version, counts as empty: what it held is measured again.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from spa_onnx.latency.vector import CPU_INFO
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.trial import Timing, Trial
from spa_onnx.runtime.packed_kinds import ValueType

VERSION = 1
CACHE_VARIABLE = "SPA_ONNX_CACHE"

STEP = 1.1
"""Layers that store shares of their numbers within one such step of each other share a line."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What times depend on beside the layer."""

    processor: str
    threads: int
    library: str
    runtime: str

    @property
    def file_name(self) -> str:
        """Return a name for the table of this machine."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"lower-{sha256(text.encode()).hexdigest()[:16]}.json"


def this_machine(threads: int, library: Path) -> Machine:
    """Return this machine with a library."""
    import onnxruntime as ort

    digest = sha256(library.read_bytes()).hexdigest()
    return Machine(_processor(), threads, digest, str(ort.__version__))


def _processor(cpu_info: Path = CPU_INFO) -> str:
    """Return what tells processors apart: their names and instruction sets."""
    wanted = ("model name", "flags", "cache size")
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    first = {line.partition(":")[0].strip(): line for line in reversed(lines)}
    told = [first[name] for name in wanted if name in first]
    return sha256("\n".join([platform.machine(), platform.processor(), *told]).encode()).hexdigest()


def cache_folder() -> Path:
    """Return the folder for tables; ``SPA_ONNX_CACHE`` overrides the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "spa-onnx"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/spa-onnx"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spa-onnx"


def line_of(trial: Trial, zeros: Zeros) -> str:
    """Return what tells layers apart whose times may differ."""
    layer = trial.layer
    facts: dict[str, Any] = {
        "kind": layer.kind,
        "weight": layer.shape,
        "input": trial.x,
        "window": asdict(layer.window) if layer.window is not None else None,
        "bias": trial.bias is not None,
        "residual": bool(layer.residual),
        "activation": layer.activation.name,
        "density": _step(zeros.density),
        "ways": {str(way): _step(zeros.of(way)) for way in trial.ways},
    }
    if layer.values != ValueType.FLOAT32:
        facts["values"] = layer.values.dtype.name
    return json.dumps(facts, sort_keys=True)


def _step(share: float) -> int | None:
    return round(math.log(share, STEP)) if share > 0 else None


@dataclass(slots=True)
class Table:
    """Times of layers.

    Attributes:
        machine: where they hold.
        folder: of the file.
        measure: measures a layer that is not in the table.
        lines: times by what :func:`line_of` says.
        measured: how many layers were measured in this run.
    """

    machine: Machine
    folder: Path
    measure: Callable[[Trial], Timing]
    lines: dict[str, Timing] = field(default_factory=dict)
    measured: int = 0

    @staticmethod
    def opened(
        machine: Machine, folder: Path, measure: Callable[[Trial], Timing], *, fresh: bool = False
    ) -> Table:
        """Return the table of a machine as the folder has it; a ``fresh`` one knows nothing yet."""
        known = {} if fresh else _read(folder / machine.file_name)
        return Table(machine, folder, measure, known)

    def timing(self, trial: Trial, zeros: Zeros) -> Timing:
        """Return how long a layer takes, measured unless the table tells."""
        line = line_of(trial, zeros)
        if line not in self.lines:
            self.lines[line] = self.measure(trial)
            self.measured += 1
        return self.lines[line]

    def save(self) -> None:
        """Write the table, together with what others wrote since it was read.

        A folder that cannot be written keeps nothing, which costs time only.
        """
        if not self.measured:
            return
        path = self.folder / self.machine.file_name
        lines = {**_read(path), **self.lines}
        data = {
            "version": VERSION,
            "machine": asdict(self.machine),
            "layers": {line: asdict(timing) for line, timing in sorted(lines.items())},
        }
        write_table(path, data)


def write_table(path: Path, data: Mapping[str, Any]) -> None:
    """Write a table as a whole, or not at all where its folder cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(".tmp", path.name, path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        Path(name).replace(path)
    except OSError:
        return


def _read(path: Path) -> dict[str, Timing]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            return {}
        return {line: _timing(entry) for line, entry in data["layers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _timing(entry: Mapping[str, Any]) -> Timing:
    ways = {str(name): float(time) for name, time in entry["ways"].items()}
    return Timing(float(entry["dense"]), float(entry["into"]), float(entry["back"]), ways)
