"""A layer for the kernels on a GPU: arrays, checked before pointers to them go to the library."""

from __future__ import annotations

import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from ml_dtypes import bfloat16

from spa_onnx.errors import SpaError
from spa_onnx.runtime.cuda_abi import Layer
from spa_onnx.runtime.packed_header import SIZE, Bytes

Array = npt.NDArray[Any]

SHAPE = struct.Struct("<8x II")
"""Rows and columns in a packed weight. The rest is the library's to check, and refused there."""

MOST_ELEMENTS = 2**31 - 1


class CudaLayerError(SpaError):
    """Arrays that make no layer together."""


@dataclass(frozen=True, slots=True)
class CudaLayer:
    """``activation(x W' + bias + residual)``, or the same with a convolution of 1 x 1.

    Attributes:
        packed: the weight ``(rows, columns)``, of values of the type of the other arrays.
        x: ``(..., columns)``, or ``(images, columns, height, width)`` of a convolution; float16 or
            bfloat16, as all arrays.
        bias: ``(rows,)``, or None.
        residual: of the shape of the result, or None.
        activation: as operators of ``ai.spa`` name it.
        clip_min: of activation ``clip``.
        clip_max: of activation ``clip``.
        strides: of a convolution; None makes it a linear layer.
        kernel: name of the kernel to run; None leaves it to the library.
    """

    packed: Bytes = field(repr=False)
    x: Array
    bias: Array | None = None
    residual: Array | None = None
    activation: str = "none"
    clip_min: float = -inf
    clip_max: float = inf
    strides: tuple[int, int] | None = None
    kernel: str | None = None

    def __post_init__(self) -> None:
        """Check that pointers to the arrays point to what the library will read and write.

        Raises:
            CudaLayerError: they do not.
        """
        if len(self.packed) < SIZE:
            raise CudaLayerError(
                f"the packed weight has {len(self.packed)} bytes, too few for its header of {SIZE}"
            )
        if self.x.dtype not in (np.dtype(np.float16), np.dtype(bfloat16)):
            raise CudaLayerError(f"x is of type {self.x.dtype}, not float16 or bfloat16")
        self._check_x()
        if prod(self.y_shape) > MOST_ELEMENTS:
            raise CudaLayerError(f"a result of shape {self.y_shape} has more than 2^31 - 1 numbers")
        self._check("x", self.x, self.x.shape)
        if self.bias is not None:
            self._check("bias", self.bias, (self.rows,))
        if self.residual is not None:
            self._check("residual", self.residual, self.y_shape)

    def _check_x(self) -> None:
        channels = -1 if self.strides is None else 1
        if self.strides is None:
            if self.x.ndim < 1:
                raise CudaLayerError("x has no axes, a linear layer needs one at least")
        elif self.x.ndim != 4 or min(self.strides) < 1:
            raise CudaLayerError(
                f"x of shape {self.x.shape} with strides {self.strides}: a convolution needs four "
                "axes and positive strides"
            )
        if self.x.shape[channels] != self.columns:
            raise CudaLayerError(
                f"x of shape {self.x.shape} has {self.x.shape[channels]} inputs, the weight "
                f"{self.columns}"
            )
        if not self.x.size:
            raise CudaLayerError(f"x of shape {self.x.shape} is empty")

    def _check(self, name: str, array: Array, shape: tuple[int, ...]) -> None:
        if array.dtype != self.x.dtype:
            raise CudaLayerError(f"{name} is of type {array.dtype}, x of type {self.x.dtype}")
        if array.shape != shape:
            raise CudaLayerError(f"{name} has shape {array.shape}, expected {shape}")
        if not array.flags.c_contiguous:
            raise CudaLayerError(f"{name} of shape {array.shape} is not contiguous")

    @property
    def rows(self) -> int:
        """Return the outputs that the weight says it has."""
        return int(SHAPE.unpack_from(self.packed)[0])

    @property
    def columns(self) -> int:
        """Return the inputs that the weight says it has."""
        return int(SHAPE.unpack_from(self.packed)[1])

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Return the shape of the result."""
        if self.strides is None:
            return (*self.x.shape[:-1], self.rows)
        places = [-(-n // s) for n, s in zip(self.x.shape[2:], self.strides, strict=True)]
        return (self.x.shape[0], self.rows, *places)

    @contextmanager
    def native(self, y: Array | None = None) -> Generator[Layer]:
        """Yield the layer as the library takes it; it lives as long as the context.

        Args:
            y: receives the result; None where only times count.
        """
        packed = np.frombuffer(self.packed, np.uint8)
        is_linear = self.strides is None
        found = Layer(
            packed=packed.ctypes.data,
            packed_size=packed.size,
            x=self.x.ctypes.data,
            bias=None if self.bias is None else self.bias.ctypes.data,
            residual=None if self.residual is None else self.residual.ctypes.data,
            y=None if y is None else y.ctypes.data,
            activation=self.activation.encode(),
            clip_min=self.clip_min,
            clip_max=self.clip_max,
            tokens=prod(self.x.shape[:-1]) if is_linear else 0,
            images=0 if is_linear else self.x.shape[0],
            input=(0, 0) if is_linear else self.x.shape[2:],
            strides=self.strides or (0, 0),
            kernel=None if self.kernel is None else self.kernel.encode(),
        )
        yield found
