"""Rows of a GPU as text."""

from __future__ import annotations

from collections.abc import Sequence

from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import GIGA, TERA, CudaRow
from spa_onnx.bench.kernels.means import means
from spa_onnx.bench.kernels.page import MICRO, Sheet, percent
from spa_onnx.runtime.cuda import CudaDevice

TITLES = ("group", "pattern", "zeros", "layer", "kernel", "us", "dense us", "ratio",
          "TFLOP/s stored", "TFLOP/s as dense", "GB/s", "of roofline")  # fmt: skip
WORDS = 5
"""Columns before the first number."""
EXPLANATION = (
    "Ratio: time of cuBLASLt's dense product over ours, median over rounds. TFLOP/s: operations on "
    "weights that are stored, and those that a dense layer would need, over our time. GB/s: bytes "
    "of packed weight, input and output over our time. Roofline: the least time that the "
    "operations at the peak or the bytes at the bandwidth allow, over ours."
)
EMULATED = "The device is emulated on the processor: these times say nothing of any GPU. "


def cells(row: CudaRow) -> list[str]:
    """Return what the table says of a layer."""
    return [
        row.group,
        row.pattern,
        percent(row.sparsity),
        str(row.case.layer),
        row.kernel,
        f"{MICRO * row.sparse:.2f}",
        f"{MICRO * row.dense:.2f}",
        f"{row.ratio:.2f}",
        f"{row.stored_rate:.1f}",
        f"{row.dense_equivalent_rate:.1f}",
        f"{row.bytes_rate:.0f}",
        percent(round(row.roofline_share, 2)),
    ]


def sentence(row: CudaRow) -> str:
    """Return a layer in one line."""
    return (
        f"{row.case}: {MICRO * row.sparse:.2f} us, dense {MICRO * row.dense:.2f} us, "
        f"{row.ratio:.2f}x, {row.stored_rate:.1f} TFLOP/s stored, {row.bytes_rate:.0f} GB/s, "
        f"{percent(round(row.roofline_share, 2))} of roofline [{row.kernel}]"
    )


def sheet(rows: Sequence[CudaRow]) -> Sheet:
    """Return what is shown of rows."""
    return Sheet(TITLES, WORDS, [cells(row) for row in rows], EXPLANATION, means(rows))


def how_measured(device: CudaDevice, roofline: CudaRoofline, rounds: int) -> str:
    """Say how times were taken and what the device can do."""
    peaks = [f"{peak / TERA:.0f} TFLOP/s in a dense product of {values}"
             for values, peak in roofline.peaks.items()]  # fmt: skip
    return (
        f"{EMULATED if device.emulated else ''}Events of the device around CUDA graphs, {rounds} "
        f"rounds in turns. Measured in the same run: {', '.join(peaks)}, "
        f"{roofline.bandwidth / GIGA:.0f} GB/s read."
    )
