"""A layer for the CUDA library with random tensors, and what it must compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from spa_onnx.runtime.cuda import CudaLayer
from tests.runtime_kernels.cuda.oracle import Float64Array, Sums, agrees
from tests.runtime_kernels.cuda.packing import HalfArray, Packing
from tests.runtime_kernels.cuda_library import cuda_library, own_kernels
from tests.runtime_kernels.layers.direct import Epilogue


@dataclass(frozen=True, slots=True)
class GivenLayer:
    """A layer with its weight unpacked.

    Attributes:
        packing: how the weight is stored.
        weight: ``(rows, columns)``.
        x: ``(tokens, columns)``, or ``(images, columns, height, width)``.
        strides: of a convolution; None makes it a linear layer.
        bias: for each output, or None.
        residual: of the output's shape, or None.
        activation: by its name.
    """

    packing: Packing
    weight: HalfArray
    x: HalfArray
    strides: tuple[int, int] | None = None
    bias: HalfArray | None = None
    residual: HalfArray | None = None
    activation: str = "none"

    @property
    def native(self) -> CudaLayer:
        """Return it as the library takes it."""
        low, high = Epilogue().clip if self.activation == "clip" else (-inf, inf)
        return CudaLayer(
            self.packing.pack(self.weight),
            self.x,
            self.bias,
            self.residual,
            self.activation,
            low,
            high,
            self.strides,
        )

    def with_epilogue(
        self, activation: str = "none", *, bias: bool = True, residual: bool = True
    ) -> GivenLayer:
        """Return it with random numbers that are added, and an activation."""
        tokens, *places = self.x.shape[0], *self.x.shape[2:]
        strides = self.strides or ()
        shape = (
            tokens,
            len(self.weight),
            *(-(-n // s) for n, s in zip(places, strides, strict=True)),
        )
        return replace(
            self,
            bias=numbers(self.packing, len(self.weight), seed=2) if bias else None,
            residual=numbers(self.packing, *shape, seed=3) if residual else None,
            activation=activation,
        )

    def expected(self) -> tuple[Float64Array, Any]:
        """Return what it must compute, and by how much an output may be off."""
        weight, x = self.weight.astype(np.float64), self.x.astype(np.float64)
        if self.strides is not None:
            x = x[:, :, :: self.strides[0], :: self.strides[1]]
        exact, sizes = _product(weight, x), _product(np.abs(weight), np.abs(x))
        if self.bias is not None:
            bias = self.bias.astype(np.float64).reshape(1, -1, *(1,) * (x.ndim - 2))
            exact, sizes = exact + bias, sizes + np.abs(bias)
        if self.residual is not None:
            added = self.residual.astype(np.float64)
            exact, sizes = exact + added, sizes + np.abs(added)
        counts = np.count_nonzero(self.weight.astype(np.float32), axis=1)
        sums = Sums(exact, sizes, counts)
        return sums.expected(Epilogue(activation=self.activation), self.packing.dtype)

    def runs(self) -> Iterator[tuple[str, HalfArray]]:
        """Yield what every kernel of ours makes of it, by the kernel's name."""
        layer = self.native
        for name in own_kernels(layer):
            yield name, cuda_library().run(replace(layer, kernel=name))

    def check(self) -> None:
        """Compare all kernels with what must come out."""
        wanted = self.expected()
        for name, y in self.runs():
            assert agrees(y, wanted), (name, str(self.packing), self.weight.shape, self.x.shape)


def _product(weight: Float64Array, x: Float64Array) -> Float64Array:
    """Return sums over columns, outputs along axis 1."""
    if x.ndim == 2:
        return np.asarray(x @ weight.T)
    flat = weight @ x.reshape(*x.shape[:2], -1)
    return flat.reshape(len(x), len(weight), *x.shape[2:])


def numbers(packing: Packing, *shape: int, seed: int = 1) -> HalfArray:
    """Return normally distributed numbers of the packing's type."""
    drawn: HalfArray = np.random.default_rng(seed).standard_normal(shape).astype(packing.dtype)
    return drawn


def linear(
    packing: Packing, tokens: int, columns: int, rows: int, *, density: float = 0.4, seed: int = 0
) -> GivenLayer:
    """Return a linear layer."""
    weight = packing.random_weight(rows, columns, density=density, seed=seed)
    return GivenLayer(packing, weight, numbers(packing, tokens, columns, seed=seed + 1))


def convolution(
    packing: Packing,
    x_shape: tuple[int, int, int, int],
    rows: int,
    strides: tuple[int, int] = (1, 1),
    *,
    density: float = 0.4,
    seed: int = 0,
) -> GivenLayer:
    """Return a convolution of 1 x 1 over ``(images, columns, height, width)``."""
    weight = packing.random_weight(rows, x_shape[1], density=density, seed=seed)
    return GivenLayer(packing, weight, numbers(packing, *x_shape, seed=seed + 1), strides)
