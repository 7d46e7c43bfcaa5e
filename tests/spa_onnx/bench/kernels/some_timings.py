"""Timings that nobody took."""

from spa_onnx.bench.kernels.cases import Case, Row
from spa_onnx.bench.kernels.forms import Form
from spa_onnx.bench.kernels.shapes import Group, Layer, Linear
from spa_onnx.bench.kernels.timing import Timing
from spa_onnx.sparse.pattern import parse_pattern


def timing(
    ratio: float = 2.0, layer: Layer | None = None, pattern: str = "4x1", sparsity: float = 0.75
) -> Timing:
    """Return a timing of 1 ms; of 100 x 400 weights a quarter is stored."""
    return Timing(
        layer or Linear(10, 400, 100), pattern, sparsity, Form(block_rows=4), 1e-3,
        {"packed": ratio * 1e-3, "unpacked": ratio * 1.5e-3}, "packed",
        (0.5 * ratio, ratio, 3 * ratio), stored=10_000, packed_bytes=60_000, copies=4,
        tried={Form(block_rows=4): 1e-3},
    )  # fmt: skip


def row(
    group: str, ratio: float, sparsity: float = 0.75, together: str = "", pattern: str = "4x1"
) -> Row:
    """Return a row of a group."""
    found = timing(ratio, pattern=pattern, sparsity=sparsity)
    members = Group(group, [found.layer], [pattern], together=together)
    return Row(Case(members, found.layer, parse_pattern(pattern), sparsity), found, 0.5)
