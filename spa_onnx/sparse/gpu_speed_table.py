"""What was measured on a GPU, kept for the next run.

A file for each GPU, driver and library beside the table of ``lower``; a line for each product,
pattern and sparsity. A file that cannot be read, or is of another version, counts as empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

from spa_onnx.lower.table import Machine, cache_folder, write_table
from spa_onnx.runtime.cuda import CudaDevice, CudaLibrary
from spa_onnx.sparse.pattern import Pattern

VERSION = 1


@dataclass(frozen=True, slots=True)
class Product:
    """What a layer multiplies.

    Attributes:
        outputs: of the layer.
        inputs: of each output.
        places: tokens or pixels.
        is_convolution: channels lie in front of the pixels.
    """

    outputs: int
    inputs: int
    places: int
    is_convolution: bool


Measure = Callable[[Product, Pattern, float], float]
"""Returns the time of a product at a pattern and sparsity as a share of the dense one's."""


@dataclass(slots=True)
class GpuSpeedTable:
    """Times of products.

    Attributes:
        machine: where they hold.
        folder: of the file.
        measure: measures what is not in the table.
        lines: times by what :func:`line_of` says.
        measured: how many were measured in this run.
    """

    machine: Machine
    folder: Path
    measure: Measure
    lines: dict[str, float] = field(default_factory=dict)
    measured: int = 0

    @staticmethod
    def opened(machine: Machine, folder: Path, measure: Measure) -> GpuSpeedTable:
        """Return the table of a machine as the folder has it."""
        return GpuSpeedTable(machine, folder, measure, _read(folder / file_name(machine)))

    def time(self, product: Product, pattern: Pattern, sparsity: float) -> float:
        """Return the time as a share of the dense one's, measured unless the table tells."""
        line = line_of(product, pattern, sparsity)
        if line not in self.lines:
            self.lines[line] = self.measure(product, pattern, sparsity)
            self.measured += 1
        return self.lines[line]

    def save(self) -> None:
        """Write the table, together with what others wrote since it was read.

        A folder that cannot be written keeps nothing, which costs time only.
        """
        if not self.measured:
            return
        path = self.folder / file_name(self.machine)
        lines = {**_read(path), **self.lines}
        data = {"version": VERSION, "machine": asdict(self.machine), "times": lines}
        write_table(path, data)


def gpu_table(library: CudaLibrary, device: CudaDevice, measure: Measure) -> GpuSpeedTable:
    """Return the table of a GPU in the user's cache folder."""
    digest = sha256(library.path.read_bytes()).hexdigest()
    name = f"{device.name}, {device.multiprocessors} multiprocessors"
    machine = Machine(name, 0, digest, f"CUDA driver {device.driver_version}")
    return GpuSpeedTable.opened(machine, cache_folder(), measure)


def file_name(machine: Machine) -> str:
    """Return a name for the table of a machine."""
    return f"sparsify-{machine.file_name.partition('-')[2]}"


def line_of(product: Product, pattern: Pattern, sparsity: float) -> str:
    """Return what tells times apart."""
    facts = {**asdict(product), "pattern": str(pattern), "sparsity": sparsity}
    return json.dumps(facts, sort_keys=True)


def _read(path: Path) -> dict[str, float]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        times: Mapping[str, float] = data["times"] if data["version"] == VERSION else {}
        return {line: float(time) for line, time in times.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
