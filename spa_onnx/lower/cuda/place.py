"""What there is to measure on: a GPU with our kernels, and ONNX Runtime's CUDA provider."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import sha256

from spa_onnx.lower.cuda.errors import NoGpuError, NoProviderError
from spa_onnx.lower.cuda.sessions import Sessions
from spa_onnx.lower.table import Machine
from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLibrary
from spa_onnx.runtime.cuda_abi import CudaLibraryError
from spa_onnx.runtime.library import CUDA_VARIABLE, CudaKernelsMissingError, library_path

NOT_MEASURED = (
    "nothing was measured ({problem}): every weight with zeros enough was lowered in the way that "
    "stores the fewest bytes, be it faster or not"
)
NOT_RUN = "the result was neither run nor compared with the original ({problem})"


@dataclass(frozen=True, slots=True)
class Place:
    """Where layers and models are run.

    Attributes:
        library: with the kernels; None without a GPU.
        device: the GPU.
        sessions: where models run; None where they cannot.
        notes: what cannot be done.
    """

    library: CudaLibrary | None
    device: CudaDevice | None
    sessions: Sessions | None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the name of the GPU."""
        return "" if self.device is None else self.device.name

    def machine(self, library: CudaLibrary, device: CudaDevice) -> Machine:
        """Return what times of layers depend on beside the layer."""
        digest = sha256(library.path.read_bytes()).hexdigest()
        processor = f"{device.name}, {device.multiprocessors} multiprocessors"
        return Machine(processor, 0, digest, f"CUDA driver {device.driver_version}")


def find_place(threads: int, *, force: bool) -> Place:
    """Return where layers and models are run here.

    Args:
        threads: that a node on the CPU may use.
        force: do without what is missing.

    Raises:
        NoGpuError: there is no GPU, or there are no kernels for it.
        NoProviderError: ONNX Runtime has no CUDA provider.
        KernelsMissingError: the native library was not built.
        CudaKernelsMissingError: there is no file of the name in the environment.
    """
    try:
        library = CudaLibrary.open()
        device = library.device()
    except (CudaKernelsMissingError, CudaLibraryError, CudaError) as missing:
        if os.environ.get(CUDA_VARIABLE):
            raise
        if not force:
            raise NoGpuError(str(missing)) from missing
        problem = getattr(missing, "problem", missing)
        notes = NOT_MEASURED.format(problem=problem), NOT_RUN.format(problem="there is no GPU")
        return Place(None, None, None, notes)
    emulated = library.path if device.emulated else None
    try:
        sessions = Sessions.found(library_path(), emulated, threads)
    except NoProviderError:
        if not force:
            raise
        note = NOT_RUN.format(problem="ONNX Runtime has no CUDA provider")
        return Place(library, device, None, (note,))
    return Place(library, device, sessions)
