"""What a device can do at most, measured in the same run.

- Operations: the product of two square matrices of 16 bits by cuBLASLt, the best of some runs. It
  stays below what tensor cores do by the data sheet. 2:4 kernels are compared with it too, by what
  they store: sparse tensor cores do as many such operations in that time as dense ones.
- Bytes: reading memory that is much larger than the cache, likewise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from spa_onnx.bench.kernels.cuda.gpu import Gpu, Timed
from spa_onnx.bench.kernels.cuda.turns import Turn
from spa_onnx.runtime.cuda import CudaDevice, Half

SQUARE = 8192
"""Rows, columns and tokens of the product."""

READ = 1 << 30
"""Bytes that are read, unless an eighth of the device's memory is less."""

RUNS = 12


@dataclass(frozen=True, slots=True)
class CudaRoofline:
    """A device's limits.

    Attributes:
        peaks: operations a second of the dense product, by type.
        bandwidth: bytes a second that are read.
    """

    peaks: Mapping[Half, float]
    bandwidth: float

    @staticmethod
    def measured(
        gpu: Gpu, device: CudaDevice, types: Sequence[Half], square: int = SQUARE, read: int = READ
    ) -> CudaRoofline:
        """Measure a device.

        Raises:
            CudaError: it cannot be done, as without cuBLASLt.
        """
        peaks: dict[Half, float] = {}
        for values in dict.fromkeys(types):
            product = gpu.prepare_dense(square, square, square, values, 1)
            peaks[values] = 2 * square**3 / _best(product)
        size = min(read, device.memory // 8)
        return CudaRoofline(peaks, size / _best(gpu.prepare_read(size)))


def _best(runner: Timed) -> float:
    """Return the seconds of a run in the fastest of some turns."""
    with closing(runner):
        turn = Turn.warmed(runner, 1, 0.0)
        return min(turn.time() for _ in range(RUNS))
