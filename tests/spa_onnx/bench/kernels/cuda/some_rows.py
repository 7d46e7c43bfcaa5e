"""Rows that nobody measured."""

from __future__ import annotations

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import CudaRow
from spa_onnx.bench.kernels.shapes import Group, Linear
from spa_onnx.runtime.cuda import Half
from spa_onnx.sparse.pattern import parse_pattern

ROOFLINE = CudaRoofline({"float16": 1e12, "bfloat16": 2e12}, 1e9)
LAYER = Linear(10, 400, 100)


def row(
    group: str = "some", ratio: float = 2.0, values: Half = "float16", together: str = ""
) -> CudaRow:
    """Return a row of 1 ms; of 100 x 400 weights a quarter is stored."""
    pattern = parse_pattern("16x16")
    case = CudaCase(
        Group(group, [LAYER], ["16x16"], together=together), LAYER, pattern, 0.75, values
    )
    ratios = (0.5 * ratio, ratio, 3 * ratio)
    return CudaRow(
        case, "gemm_tiles16_x64", 1e-3, ratio * 1e-3, ratios, 10_000, 60_000, (4, 2), ROOFLINE
    )
