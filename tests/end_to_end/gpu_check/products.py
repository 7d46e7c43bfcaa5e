"""Time the products of models, without ONNX Runtime: ``python -m ... OUT.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.measure import CudaBench
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.shapes import Group, Linear
from spa_onnx.errors import SpaError
from spa_onnx.runtime.cuda import CudaLibrary
from spa_onnx.sparse.pattern import parse_pattern
from tests.end_to_end.gpu_check.table import written

ROUNDS = 9
UNKNOWN = CudaRoofline({"float16": float("inf")}, float("inf"))
"""Shares of the device's limits are the table's to tell."""


@dataclass(frozen=True, slots=True)
class Products:
    """The products of a model.

    Attributes:
        model: its name.
        tokens: at once.
        sizes: inputs and outputs of each product, and how many there are.
    """

    model: str
    tokens: int
    sizes: Sequence[tuple[int, int, int]]


BLOCK = ((4096, 4096, 4), (4096, 11008, 2), (11008, 4096, 1))
MODELS = (
    Products("llama_block, 1 token", 1, BLOCK),
    Products("llama_block, 512 tokens", 512, BLOCK),
    Products("bert_base, 128 tokens", 128, ((768, 768, 48), (768, 3072, 12), (3072, 768, 12))),
)
ZEROS = (("2:4", 0.5), ("32x32", 0.8))


def timed(products: Products, pattern: str, sparsity: float, bench: CudaBench) -> dict[str, Any]:
    """Return what all products of a model take together."""
    group = Group(products.model, [], [pattern])
    sparse = dense = 0.0
    for inputs, outputs, count in products.sizes:
        layer = Linear(products.tokens, inputs, outputs)
        case = CudaCase(group, layer, parse_pattern(pattern), sparsity, "float16")
        row = bench.row(case, UNKNOWN)
        sparse += count * row.sparse
        dense += count * row.dense
    return {
        "model": products.model,
        "pattern": pattern,
        "sparsity": sparsity,
        "products": sum(count for *_, count in products.sizes),
        "dense_ms": 1e3 * dense,
        "sparse_ms": 1e3 * sparse,
        "ratio": dense / sparse,
    }


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
def main(out: Path) -> None:
    """Time all models with all zeros and write what came of them to OUT."""
    try:
        gpu = CudaLibrary.open()
        bench = CudaBench(gpu, gpu.device(), ROUNDS)
        found: list[dict[str, Any]] = []
        for pattern, sparsity in ZEROS:
            for products in MODELS:
                found.append(timed(products, pattern, sparsity, bench))
                written(out, found)
    except SpaError as failure:
        raise click.ClickException(str(failure)) from failure


if __name__ == "__main__":
    main()
