"""SpaRunLinear and SpaRunConvolution through ctypes, with outputs between guards."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spa_onnx.runtime.kernels import KernelSet
from tests.runtime_kernels.kernel_library import load_library

Float32Array = npt.NDArray[np.float32]

GUARD = 64
GUARD_BITS = 0x7FC0DEAD  # a NaN that no arithmetic makes
ERROR_SIZE = 512


class _Layer(ctypes.Structure):
    """SpaLayer of spa_onnx_kernels.h."""

    _fields_ = (
        ("kernels", ctypes.c_char_p),
        ("packed", ctypes.c_void_p),
        ("packed_size", ctypes.c_size_t),
        ("x", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("residual", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("activation", ctypes.c_char_p),
        ("clip_min", ctypes.c_float),
        ("clip_max", ctypes.c_float),
        ("tile", ctypes.c_size_t),
    )


class _Linear(ctypes.Structure):
    """SpaLinear."""

    _fields_ = (("layer", _Layer), ("tokens", ctypes.c_size_t))


_Pair = ctypes.c_size_t * 2


class _Convolution(ctypes.Structure):
    """SpaConvolution."""

    _fields_ = (
        ("layer", _Layer),
        ("images", ctypes.c_size_t),
        ("channels", ctypes.c_size_t),
        ("input", _Pair),
        ("output", _Pair),
        ("kernel", _Pair),
        ("strides", _Pair),
        ("dilations", _Pair),
        ("pads", _Pair),
    )


class LayerRefusedError(Exception):
    """What the library said instead of running a layer."""


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
class Epilogue:
    """What is done to the sums.

    Attributes:
        bias: one number for every output, or nothing.
        residual: an array of the output's shape, or nothing.
        activation: by its name.
        clip: lowest and highest output of the activation clip.
    """

    bias: Float32Array | None = None
    residual: Float32Array | None = None
    activation: str = "none"
    clip: tuple[float, float] = (-0.5, 1.5)


@dataclass(frozen=True, slots=True)
class How:
    """What must not change the result.

    Attributes:
        kernels: the instruction set; none is the chosen one.
        tile: the hint of that name.
        misalignment: bytes by which the packed weight is off a 64-byte boundary.
        repeats: how often the layer runs.
        in_place: whether the residual lies where Y will.
    """

    kernels: KernelSet | None = None
    tile: int = 0
    misalignment: int = 0
    repeats: int = 1
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """How a convolution's window moves; ``pads`` are top, left, bottom, right."""

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Return the output's height and width, not positive where there is none."""
        high, wide = (
            (
                length
                + self.pads[a]
                + self.pads[a + 2]
                - self.dilations[a] * (self.kernel[a] - 1)
                - 1
            )
            // self.strides[a]
            + 1
            for a, length in enumerate((height, width))
        )
        return high, wide


def run_linear(
    packed: bytes, x: Float32Array, rows: int, epilogue: Epilogue = Epilogue(), how: How = How()
) -> Float32Array:
    """Return Y ``(tokens, rows)`` of a linear layer.

    Args:
        packed: the weight.
        x: ``(tokens, columns)``.
        rows: of the weight.
        epilogue: bias, residual and activation.
        how: whatever must not matter.

    Raises:
        LayerRefusedError: with the text of the library.
    """
    x = np.ascontiguousarray(x)
    return _run(
        load_library().SpaRunLinear,
        (len(x), rows),
        lambda layer: _Linear(layer, len(x)),
        (packed, x, epilogue, how),
    )


def run_convolution(
    packed: bytes,
    x: Float32Array,
    rows: int,
    sweep: Sweep,
    epilogue: Epilogue = Epilogue(),
    how: How = How(),
) -> Float32Array:
    """Return Y ``(images, rows, H', W')`` of a convolution over x ``(images, channels, H, W)``.

    Raises:
        LayerRefusedError: with the text of the library.
    """
    images, channels, height, width = x.shape
    output = sweep.output(height, width)
    return _run(
        load_library().SpaRunConvolution,
        (images, rows, *output),
        lambda layer: _Convolution(
            layer,
            images,
            channels,
            _Pair(height, width),
            _Pair(*output),
            _Pair(*sweep.kernel),
            _Pair(*sweep.strides),
            _Pair(*sweep.dilations),
            _Pair(*sweep.pads[:2]),
        ),
        (packed, np.ascontiguousarray(x), epilogue, how),
    )


def _run(
    function: Any,
    shape: tuple[int, ...],
    problem_of: Callable[[_Layer], ctypes.Structure],
    given: tuple[bytes, Float32Array, Epilogue, How],
) -> Float32Array:
    packed, x, epilogue, how = given
    # numpy places it at a boundary of 16 bytes at least; the last byte is that of the weight
    raw = np.empty(64 + how.misalignment + len(packed), np.uint8)
    start = -raw.ctypes.data % 64 + how.misalignment
    raw = raw[: start + len(packed)]
    raw[start:] = np.frombuffer(packed, np.uint8)
    y = Guarded(*shape)
    residual = epilogue.residual
    if residual is not None and how.in_place:
        y.array[...] = residual
        residual = y.array
    layer = _Layer(
        None if how.kernels is None else how.kernels.name.encode(),
        raw.ctypes.data + start,
        len(packed),
        x.ctypes.data,
        None if epilogue.bias is None else epilogue.bias.ctypes.data,
        None if residual is None else residual.ctypes.data,
        y.array.ctypes.data,
        epilogue.activation.encode(),
        *epilogue.clip,
        how.tile,
    )
    problem = problem_of(layer)
    error = ctypes.create_string_buffer(ERROR_SIZE)
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    code = function(ctypes.byref(problem), how.repeats, error, ERROR_SIZE)
    assert y.is_intact()
    if code:
        raise LayerRefusedError(error.value.decode())
    return y.array
