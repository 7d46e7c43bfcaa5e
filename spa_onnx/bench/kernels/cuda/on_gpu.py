"""Layers on a GPU, beside cuBLASLt's dense ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_onnx.bench.kernels.cuda import roofline
from spa_onnx.bench.kernels.cuda.as_json import cuda_version, kernels_json
from spa_onnx.bench.kernels.cuda.cases import GROUPS, TYPES, CudaCase, cases
from spa_onnx.bench.kernels.cuda.driver import driver_version
from spa_onnx.bench.kernels.cuda.gpu import Gpu
from spa_onnx.bench.kernels.cuda.measure import CudaBench
from spa_onnx.bench.kernels.cuda.page import how_measured, sentence, sheet
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.outcome import Asked, Outcome, Tell
from spa_onnx.bench.kernels.shapes import Group, find_groups
from spa_onnx.errors import SpaError
from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLibrary, Half


class NoDeviceError(SpaError):
    """There is nothing that kernels for GPUs could be timed on."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"no GPU that layers can be timed on: {problem.strip()}. Run the command on a machine "
            "with an NVIDIA GPU of compute capability 8.0 or newer and its driver; `spa-onnx "
            "doctor` tells what is there"
        )


@dataclass(frozen=True, slots=True)
class OnGpu:
    """What is timed on a GPU.

    Attributes:
        groups: of layers.
        cases: all of them.
        rounds: in which ours and the dense one take turns.
        every_kernel: time all kernels that can run a layer, too.
        gpu: runs them; None for the installed library.
    """

    groups: Sequence[Group]
    cases: Sequence[CudaCase]
    rounds: int = 9
    every_kernel: bool = False
    gpu: Gpu | None = None

    @staticmethod
    def of(asked: Asked, types: Sequence[Half], rounds: int, *, every_kernel: bool) -> OnGpu:
        """Return what is asked for, of all types unless told which.

        Raises:
            UsageError: there is no such group, or no kernel for a pattern.
        """
        groups = find_groups(asked.groups, GROUPS)
        listed = list(cases(groups, asked.patterns, asked.sparsities, types or TYPES))
        return OnGpu(groups, listed, rounds, every_kernel)

    @property
    def count(self) -> int:
        """Return how many layers are timed."""
        return len(self.cases)

    def check(self) -> None:
        """Refuse to begin without a library or a GPU.

        Raises:
            CudaKernelsMissingError: the library was not built.
            NoDeviceError: there is no GPU.
        """
        self.opened()

    def opened(self) -> tuple[Gpu, CudaDevice]:
        """Return what runs layers, and what it is.

        Raises:
            CudaKernelsMissingError: the library was not built.
            NoDeviceError: there is no GPU.
        """
        gpu = self.gpu or CudaLibrary.open()
        try:
            return gpu, gpu.device()
        except CudaError as failure:
            raise NoDeviceError(str(failure)) from failure

    def run(self, command: str, tell: Tell) -> Outcome:
        """Time all layers.

        Raises:
            WrongOutputError: an output is wrong.
            CudaError: cuBLASLt is missing, the device refuses a layer or does not hold it.
        """
        gpu, device = self.opened()
        types: list[Half] = [case.values for case in self.cases]
        limits = CudaRoofline.measured(gpu, device, types, roofline.SQUARE, roofline.READ)
        bench = CudaBench(gpu, device, self.rounds, self.every_kernel)
        found = []
        for row in bench.rows(self.cases, limits):
            found.append(row)
            tell(sentence(row), len(found))
        place = {id(case): k for k, case in enumerate(self.cases)}
        rows = sorted(found, key=lambda row: place[id(row.case)])
        return Outcome(
            sheet(rows),
            how_measured(device, limits, self.rounds),
            described(device),
            kernels_json(rows, device, limits, self.rounds, command),
        )


def described(device: CudaDevice) -> str:
    """Return a device in a few words."""
    driver = driver_version()
    words = [device.name, f"compute capability {device.major}.{device.minor}"]
    words += [f"driver {driver}"] if driver else []
    return ", ".join([*words, f"CUDA {cuda_version(device.runtime_version)}"])
