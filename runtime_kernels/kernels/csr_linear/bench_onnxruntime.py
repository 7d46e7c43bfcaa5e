"""Time ``ai.spa::SparseLinear`` beside ONNX Runtime's dense Gemm.

    python runtime_kernels/kernels/csr_linear/bench_onnxruntime.py [--threads 1]

Prints milliseconds of wall-clock time, the median over rounds in which the two take turns, and
their quotient; above 1 the sparse layer is faster. Both run warm from the cache.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.runtime.packing import pack_csr
from spa_onnx.runtime.session import session

LAYERS = (
    ("ResNet-50 fc", 1, 2048, 1000),
    ("MiniLM attention", 128, 384, 384),
    ("MiniLM feed-forward", 128, 384, 1536),
    ("BERT-base feed-forward", 16, 768, 3072),
    ("BERT-base feed-forward", 128, 768, 3072),
    ("ViT-B/16 feed-forward", 197, 768, 3072),
)
DENSITIES = (0.5, 0.2, 0.1, 0.05)
ROUNDS = 31

Float32Array = npt.NDArray[np.float32]


def dense_node(weight: Float32Array) -> tuple[Any, Any]:
    """Return a Gemm and its weight."""
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)
    return node, numpy_helper.from_array(weight, "w")


def sparse_node(weight: Float32Array) -> tuple[Any, Any]:
    """Return a SparseLinear and its packed weight."""
    node = helper.make_node(
        "SparseLinear", ["x", "w", "b"], ["y"], domain="ai.spa", out_features=len(weight)
    )
    packed = pack_csr(weight)
    return node, helper.make_tensor("w", TensorProto.UINT8, [len(packed)], packed, raw=True)


def open_layer(node: Any, weight: Any, rows: int, columns: int, threads: int) -> Any:
    """Return a session over one layer."""
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["tokens", columns])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["tokens", rows])],
        [weight, numpy_helper.from_array(np.ones(rows, np.float32), "b")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return session(model.SerializeToString(), sess_options=options)


def seconds(runner: Any, x: Float32Array, repeats: int) -> float:
    """Return the seconds of one run."""
    start = perf_counter()
    for _ in range(repeats):
        runner.run(None, {"x": x})
    return (perf_counter() - start) / repeats


def compare(
    tokens: int, columns: int, rows: int, density: float, threads: int
) -> tuple[float, float]:
    """Return median seconds of the dense and of the sparse layer."""
    random = np.random.default_rng(0)
    weight = random.standard_normal((rows, columns), np.float32)
    weight *= random.random(weight.shape) < density
    x = random.standard_normal((tokens, columns), np.float32)
    layers = [
        open_layer(*make(weight), rows, columns, threads) for make in (dense_node, sparse_node)
    ]
    repeats = max(1, int(0.003 / seconds(layers[0], x, 3)))
    times = [[seconds(layer, x, repeats) for layer in layers] for _ in range(ROUNDS)]
    dense, sparse = zip(*times, strict=True)
    return median(dense), median(sparse)


@click.command()
@click.option("--threads", default=1, show_default=True, help="Threads of each session.")
def main(threads: int) -> None:
    """Compare SparseLinear with ONNX Runtime's dense Gemm."""
    click.echo(f"{'layer':<24}{'shape':>22}  kept  dense ms  sparse ms  dense/sparse")
    for name, tokens, columns, rows in LAYERS:
        for density in DENSITIES:
            dense, sparse = compare(tokens, columns, rows, density, threads)
            shape = f"{tokens} x {columns} -> {rows}"
            click.echo(
                f"{name:<24}{shape:>22}{density:>6.0%}{1e3 * dense:>10.3f}"
                f"{1e3 * sparse:>11.3f}{dense / sparse:>14.2f}"
            )


if __name__ == "__main__":
    main()
