"""A GPU that needs as long as it is told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.cuda import CudaDevice, CudaError, CudaLayer, Half
from spa_onnx.runtime.packing import unpack

DEVICE = CudaDevice("Fake 9000", 9, 0, 132, False, 13000, 12080, 8 << 30, 1 << 20, 227 << 10)

Clock = Callable[[int], float]
"""Microseconds of a run, by how often the runner was asked before."""


@dataclass
class FakeRunner:
    """Something whose runs take as long as its clock says."""

    what: str
    clock: Clock
    copies: int
    asked: list[int] = field(default_factory=list)
    is_closed: bool = False

    def time(self, runs: int) -> float:
        """Return the microseconds of so many runs."""
        assert not self.is_closed
        self.asked.append(runs)
        return runs * self.clock(len(self.asked) - 1)

    def close(self) -> None:
        """Remember that it is closed."""
        self.is_closed = True


@dataclass
class FakeGpu:
    """What computes with numpy, and makes runners that take a time.

    Attributes:
        sparse: microseconds of a run of ours.
        dense: microseconds of a dense one.
        read: microseconds of a reading.
        names: of kernels.
        factors: how many times as long as the first one others take; 2 unless told.
        wrong: added to every output.
        has_cublaslt: dense products can be prepared.
        runners: all that were made.
    """

    sparse: Clock = lambda _: 10.0
    dense: Clock = lambda _: 20.0
    read: Clock = lambda _: 1.0
    names: tuple[str, ...] = ("fast", "slow")
    factors: Mapping[str, float] = field(default_factory=dict)
    wrong: float = 0.0
    has_cublaslt: bool = True
    runners: list[FakeRunner] = field(default_factory=list)
    ran: list[str | None] = field(default_factory=list)

    def device(self) -> CudaDevice:
        """Return what it is."""
        return DEVICE

    def kernels(self, layer: CudaLayer) -> tuple[str, ...]:
        """Return the names of kernels."""
        assert layer.x.size
        return self.names

    def run(self, layer: CudaLayer) -> npt.NDArray[Any]:
        """Return the product."""
        self.ran.append(layer.kernel)
        weight = unpack(layer.packed).astype(np.float64)
        x = layer.x.astype(np.float64)
        y = x @ weight.T if layer.strides is None else np.einsum("oc,nchw->nohw", weight, x)
        return (y + self.wrong).astype(layer.x.dtype)

    def prepare(self, layer: CudaLayer, copies: int) -> FakeRunner:
        """Return one that takes the time of ours; other kernels take longer."""
        is_first = layer.kernel in (None, self.names[0])
        factor = 1.0 if is_first else self.factors.get(str(layer.kernel), 2.0)
        return self._made(f"{layer.kernel}", lambda k: factor * self.sparse(k), copies)

    def prepare_dense(
        self, rows: int, columns: int, tokens: int, dtype: Half, copies: int
    ) -> FakeRunner:
        """Return one that takes the time of a dense product."""
        if not self.has_cublaslt:
            raise CudaError("cuBLASLt cannot be loaded (libcublasLt.so): install it")
        return self._made(f"{tokens} x {columns} -> {rows} {dtype}", self.dense, copies)

    def prepare_read(self, size: int) -> FakeRunner:
        """Return one that takes the time of reading."""
        return self._made(f"read {size}", self.read, 1)

    def _made(self, what: str, clock: Clock, copies: int) -> FakeRunner:
        self.runners.append(FakeRunner(what, clock, copies))
        return self.runners[-1]
