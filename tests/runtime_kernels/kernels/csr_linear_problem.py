"""Run one csr_linear kernel through ctypes, with every buffer it must not touch guarded."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.packed_header import read_header
from spa_onnx.runtime.packing import pack_csr
from tests.runtime_kernels.kernel_library import Variant

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

GUARD = 64
GUARD_BITS = 0x7FC0DEAD  # a NaN that no arithmetic makes


class CsrLinear(ctypes.Structure):
    """CsrLinear of csr_linear.h."""

    _fields_ = (
        ("rows", ctypes.c_size_t),
        ("columns", ctypes.c_size_t),
        ("tokens", ctypes.c_size_t),
        ("row_starts", ctypes.c_void_p),
        ("column_indices", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
    )


PACK = ctypes.CFUNCTYPE(None, ctypes.POINTER(CsrLinear), ctypes.c_size_t, ctypes.c_void_p)
MULTIPLY = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(CsrLinear), ctypes.c_size_t, ctypes.c_void_p,
    ctypes.c_size_t, ctypes.c_size_t,
)  # fmt: skip


class Kernel(ctypes.Structure):
    """CsrLinearKernel of csr_linear.h."""

    _fields_ = (
        ("lanes", ctypes.c_size_t),
        ("fewest_panel_tokens", ctypes.c_size_t),
        ("pack", PACK),
        ("multiply", MULTIPLY),
    )


def kernel_of(variant: Variant) -> Any:
    """Return the struct that the list points to."""
    return Kernel.from_address(variant.address)


class Guarded:
    """An array of NaN between two guards, at a 64-byte boundary."""

    def __init__(self, *shape: int) -> None:
        size = int(np.prod(shape))
        raw = np.empty(size + 2 * GUARD + 16, np.uint32)
        start = GUARD + (-(raw.ctypes.data // 4 + GUARD)) % 16
        raw[:] = GUARD_BITS
        self._around = (raw[:start], raw[start + size :])
        self.array: Float32Array = raw[start : start + size].view(np.float32).reshape(shape)

    def is_intact(self) -> bool:
        """Return whether nothing was written outside the array."""
        return all(bool((guard == GUARD_BITS).all()) for guard in self._around)


@dataclass(frozen=True, slots=True)
class Layer:
    """One problem: ``x`` (tokens, columns), ``weight`` (rows, columns), ``bias`` (rows,)."""

    x: Float32Array
    weight: Float32Array
    bias: Float32Array | None

    def exact(self) -> Float64Array:
        """Return the result in float64."""
        product: Float64Array = self.x.astype(np.float64) @ self.weight.astype(np.float64).T
        return product if self.bias is None else product + self.bias

    def bound(self) -> Float64Array:
        """Return the largest possible error of any order of summation, per element.

        n products and a bias take at most n + 1 roundings each:
        ``gamma(n + 1) * (sum |w x| + |b|)`` with ``gamma(k) = k u / (1 - k u)``, ``u = 2^-24``.
        Source: Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.
        """
        size = np.abs(self.x).astype(np.float64) @ np.abs(self.weight).astype(np.float64).T
        if self.bias is not None:
            size += np.abs(self.bias)
        roundings = 2.0**-24 * (np.count_nonzero(self.weight, axis=1) + 1)
        bound: Float64Array = size * (roundings / (1 - roundings))
        return bound


def random_layer(
    tokens: int, rows: int, columns: int, *, density: float = 0.3, bias: bool = True, seed: int = 0
) -> Layer:
    """Return a layer with nonzeros at random places."""
    random = np.random.default_rng(seed)
    weight = random.standard_normal((rows, columns), np.float32)
    weight[random.random(weight.shape) >= density] = 0
    x = random.standard_normal((tokens, columns), np.float32)
    return Layer(x, weight, random.standard_normal(rows, np.float32) if bias else None)


def run_kernel(
    variant: Variant, layer: Layer, *, row_step: int | None = None, misalignment: int = 0
) -> Float32Array:
    """Return Y ``(tokens, rows)`` as the kernel computes it, block by block.

    Args:
        variant: the kernel.
        layer: the problem.
        row_step: rows per call; all by default.
        misalignment: bytes by which the packed weight is off its boundary.
    """
    kernel = kernel_of(variant)
    (tokens, columns), rows = layer.x.shape, len(layer.weight)
    packed = pack_csr(layer.weight)
    buffer = ctypes.create_string_buffer(b"\0" * misalignment + packed, misalignment + len(packed))
    y = Guarded(tokens, rows)
    problem = describe(layer, packed, ctypes.addressof(buffer) + misalignment, y.array)
    for first_token in range(0, tokens, kernel.lanes):
        panel = Guarded(columns * kernel.lanes)
        packs = min(kernel.lanes, tokens - first_token) >= kernel.fewest_panel_tokens
        if packs:
            kernel.pack(ctypes.byref(problem), first_token, panel.array.ctypes.data)
        for first_row in range(0, rows, row_step or rows):
            end_row = min(rows, first_row + (row_step or rows))
            panel_address = panel.array.ctypes.data if packs else None
            kernel.multiply(ctypes.byref(problem), first_token, panel_address, first_row, end_row)
        assert panel.is_intact()
    assert y.is_intact()
    return y.array


def describe(layer: Layer, packed: bytes, address: int, y: Float32Array) -> CsrLinear:
    """Return the problem as a kernel takes it, the packed weight lying at ``address``."""
    header = read_header(packed)
    return CsrLinear(
        rows=header.rows,
        columns=header.columns,
        tokens=len(layer.x),
        row_starts=address + header.row_starts,
        column_indices=address + header.column_indices,
        values=address + header.values,
        bias=None if layer.bias is None else layer.bias.ctypes.data,
        x=layer.x.ctypes.data,
        y=y.ctypes.data,
    )
