"""Time layers until the time is up: ``python -m ... OUT.json SECONDS [--every-kernel]``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from spa_onnx.bench.kernels.cuda.as_json import roofline_json, rows_json
from spa_onnx.bench.kernels.cuda.cases import GROUPS, TYPES, CudaCase, cases
from spa_onnx.bench.kernels.cuda.gpu import Gpu
from spa_onnx.bench.kernels.cuda.measure import CudaBench
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import CudaRow
from spa_onnx.errors import SpaError
from spa_onnx.runtime.cuda import CudaLibrary
from tests.end_to_end.gpu_check.table import written

SHARES = (0.8, 0.9, 0.5)
ROUNDS = 9
OFTEN = 10
"""Layers after which what there is is written."""

SQUARE = (4096, 4096)
LANGUAGE = ("decode", "linear-16", "linear-512", "linear-2048", "linear-4096")


def rank(case: CudaCase) -> int:
    """Return how much a layer tells: the least first."""
    is_square = (case.layer.rows, case.layer.columns) == SQUARE
    is_telling = case.pattern.kept > 0 or case.sparsity > 0.5
    late = 4 * (case.values != "float16")
    if case.group.name in LANGUAGE and is_square and is_telling:
        return late
    if case.group.name == "decode" and is_telling:
        return late + 1
    return late + (2 if case.group.name not in LANGUAGE and is_telling else 3)


def in_order(listed: Sequence[CudaCase]) -> Iterator[list[CudaCase]]:
    """Yield layers of one weight together, what tells most first."""
    by_weight: dict[tuple[object, ...], list[CudaCase]] = {}
    for case in sorted(listed, key=lambda case: (rank(case), case.weight)):
        by_weight.setdefault((rank(case), case.weight), []).append(case)
    yield from by_weight.values()


def time_until(
    end: float, gpu: Gpu, listed: Sequence[CudaCase], out: Path, *, every_kernel: bool = False
) -> None:
    """Time layers until a moment of the monotonic clock, and write what came of them.

    Raises:
        SpaError: an output is wrong, or the device fails; what came before is written.
    """
    device = gpu.device()
    roofline = CudaRoofline.measured(gpu, device, TYPES)
    bench = CudaBench(gpu, device, ROUNDS, every_kernel)
    rows: list[CudaRow] = []

    def write() -> None:
        facts = {"roofline": roofline_json(roofline), "not_measured": len(listed) - len(rows)}
        written(out, {**facts, **rows_json(rows)})

    try:
        for together in in_order(listed):
            if time.monotonic() > end:
                break
            for row in bench.rows(together, roofline):
                rows.append(row)
                if len(rows) % OFTEN == 0:
                    write()
    finally:
        write()


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("seconds", type=float)
@click.option("--every-kernel", is_flag=True, help="Time all kernels that can run a layer, too.")
def main(out: Path, seconds: float, every_kernel: bool) -> None:
    """Time layers for so many SECONDS and write what came of them to OUT."""
    end = time.monotonic() + seconds
    listed = list(cases(GROUPS, (), SHARES, TYPES))
    try:
        time_until(end, CudaLibrary.open(), listed, out, every_kernel=every_kernel)
    except SpaError as failure:
        raise click.ClickException(str(failure)) from failure


if __name__ == "__main__":
    main()
