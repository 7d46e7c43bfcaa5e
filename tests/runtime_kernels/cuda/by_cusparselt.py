"""Layers by the kernel that is cuSPARSELt, and what must come out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.runtime_kernels.cuda.given_layer import GivenLayer
from tests.runtime_kernels.cuda.packing import HalfArray
from tests.runtime_kernels.cuda_library import cuda_library
from tests.runtime_kernels.layers.oracle import STEEPEST

NAME = "cusparselt"


def is_offered(layer: GivenLayer) -> bool:
    """Say whether the library is there and takes a layer."""
    return NAME in cuda_library().kernels(layer.native)


def run(layer: GivenLayer) -> HalfArray:
    """Return what the library makes of a layer."""
    y: HalfArray = cuda_library().run(replace(layer.native, kernel=NAME))
    return y


def expected(layer: GivenLayer) -> tuple[Any, Any]:
    """Return what must come out where the sums are rounded before the activation, too."""
    exact, bound = layer.expected()
    _, rounded = replace(layer, activation="none").expected()
    return exact, bound + STEEPEST * rounded
