"""What layers are timed with: the CUDA library, or what stands in for it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from spa_onnx.runtime.cuda import CudaDevice, CudaLayer, Half


class Timed(Protocol):
    """Something in several copies on a device."""

    def time(self, runs: int) -> float:
        """Return the microseconds of so many runs, one copy after another."""
        ...

    def close(self) -> None:
        """Free what it has on the device."""
        ...


class Gpu(Protocol):
    """A device; :class:`~spa_onnx.runtime.cuda.CudaLibrary` is one."""

    def device(self) -> CudaDevice:
        """Describe it."""
        ...

    def kernels(self, layer: CudaLayer) -> tuple[str, ...]:
        """Return the names of the kernels that can run a layer, the one that is chosen first."""
        ...

    def run(self, layer: CudaLayer) -> npt.NDArray[Any]:
        """Return what a layer computes."""
        ...

    def prepare(self, layer: CudaLayer, copies: int) -> Timed:
        """Return a layer in so many copies."""
        ...

    def prepare_dense(
        self, rows: int, columns: int, tokens: int, dtype: Half, copies: int
    ) -> Timed:
        """Return a dense product in so many copies."""
        ...

    def prepare_read(self, size: int) -> Timed:
        """Return the reading of so many bytes."""
        ...
