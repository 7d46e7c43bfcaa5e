"""Run every ``ai.spa`` operator and every kernel for GPUs, and compare them with numpy.

As a program, ``python -m spa_onnx.doctor.self_test``, it prints what it finds as lines of JSON, one
for each case: so a kernel that the processor cannot run ends that process and no other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np

from spa_onnx.doctor.check import REINSTALL, Check
from spa_onnx.doctor.gpu import gpu_checks
from spa_onnx.doctor.op_models import (
    Float32Array,
    OpCase,
    Window,
    conv_case,
    linear_case,
)
from spa_onnx.runtime.packing import pack_bitmask, pack_blocks, pack_segments
from spa_onnx.runtime.session import session

TOKENS = (1, 37)
"""One token, as in decoding, and a number that fills no tile."""


def cases() -> Iterator[OpCase]:
    """Yield a node of every operator, format and kind of window."""
    for tokens in TOKENS:
        many = "1 token" if tokens == 1 else f"{tokens} tokens"
        x, bias, residual = numbers(tokens, 150), numbers(83), numbers(tokens, 83)
        for rows in (1, 4, 16, 32):
            weight = sparse_weight(83, 150, rows)
            packed = pack_blocks(weight, rows, 64)
            yield linear_case(f"blocks {rows}x1, {many}", weight, packed, x, bias, residual)
        weight = sparse_weight(83, 150).astype(np.float16).astype(np.float32)
        masked, halves = pack_bitmask(weight), pack_bitmask(weight, np.float16)
        yield linear_case(f"bit mask, {many}", weight, masked, x, bias)
        yield linear_case(f"float16 values, {many}", weight, halves, x, bias)
        segments = pack_segments(weight)
        yield linear_case(f"segments, {many}", weight, segments, x, bias)
    image = numbers(2, 19, 15, 13)
    for label, window, rows in (
        ("1x1", Window((1, 1)), 1),
        ("1x1 with stride", Window((1, 1), (2, 2)), 4),
        ("3x3", Window((3, 3), (1, 1), (1, 1, 1, 1)), 4),
        ("5x5 with stride", Window((5, 5), (2, 2), (2, 1, 1, 2)), 1),
    ):
        weight = sparse_weight(21, 19 * window.kernel[0] * window.kernel[1], rows)
        packed = pack_blocks(weight, rows)
        name, bias = f"{label}, blocks {rows}x1", numbers(21)
        shape = (2, 21, *window.patches(image).shape[3:])
        yield conv_case(name, weight, packed, image, bias, window, numbers(*shape))
    window = Window((3, 3), (2, 2), (1, 1, 1, 1))
    apart = np.kron(np.eye(19, dtype=np.float32), np.ones((1, 9), np.float32)) * numbers(19, 171)
    packed = pack_blocks(apart, 1)
    yield conv_case("3x3 depthwise", apart, packed, image, numbers(19), window)


def numbers(*shape: int) -> Float32Array:
    """Return normal numbers, the same for the same shape."""
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def sparse_weight(rows: int, columns: int, block_rows: int = 1) -> Float32Array:
    """Return a matrix of which a third of the blocks is kept, and one row of blocks is empty."""
    rng = np.random.default_rng((rows, columns, block_rows))
    kept = rng.random((-(-rows // block_rows), columns)) < 1 / 3
    kept[0] = False
    weight = rng.standard_normal((rows, columns), np.float32)
    weight[~kept.repeat(block_rows, axis=0)[:rows]] = 0
    return weight


def try_case(case: OpCase) -> Check:
    """Return whether a node computes what numpy does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    try:
        opened: Any = session(case.model().SerializeToString(), sess_options=options)
        (y,) = opened.run(None, case.feeds())
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        return Check(case.name, False, str(failure).strip(), REINSTALL, case.op)
    error = case.error(y)
    found = f"differs from numpy by {error:.2g} of what rounding explains"
    return Check(case.name, error <= 1.0, found, "" if error <= 1.0 else REINSTALL, case.op)


def main() -> None:
    """Print every check as it is done."""
    for check in chain(map(try_case, cases()), gpu_checks()):
        json.dump(asdict(check), sys.stdout)
        print(flush=True)  # what follows may end the process


if __name__ == "__main__":
    main()
