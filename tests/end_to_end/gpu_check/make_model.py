"""Make a model with zeros: ``python -m ... FOLDER NAME PATTERN SPARSITY`` tells its file."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.sparse.pattern import parse_pattern
from tests.end_to_end.gpu_check.place import ROOT

PAST = 128
"""Tokens that a decoder has seen before."""


TINY = "tiny"
"""Of which the last product becomes sparse, too."""


def script(name: str) -> Any:
    """Return a script under ``models/``, which is no package."""
    folder = str(ROOT / "models")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module(name)


def write_dense(name: str, path: Path) -> None:
    """Write a dense model, float32."""
    if name == "bert_base":
        script("sparse_models").export_dense(name, path, 0)
    elif name == "llama_block":
        script("decoder_step").write_step(path, 1, PAST)
    else:
        write_tiny(path)


def write_tiny(path: Path) -> None:
    """Write two layers so small that emulated kernels run them.

    Nothing stands between them: of a product of float16 between operators that the CPU has for
    float32 only, ONNX Runtime makes one of float32.
    """
    random = np.random.default_rng(0)
    weights = [random.standard_normal((128, 128), np.float32) / np.float32(11) for _ in range(2)]
    tensors = [numpy_helper.from_array(w, f"w{k}") for k, w in enumerate(weights)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [9, 128]) for name in "xy"]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], tensors)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("name")
@click.argument("pattern")
@click.argument("sparsity", type=float)
def main(folder: Path, name: str, pattern: str, sparsity: float) -> None:
    """Write a dense model unless it is there, and one with zeros."""
    models = script("sparse_models")
    warnings.simplefilter("ignore")
    folder.mkdir(parents=True, exist_ok=True)
    dense = folder / f"{name}.onnx"
    if not dense.exists():
        write_dense(name, dense)
    wanted = parse_pattern(pattern)
    share = sparsity if wanted.sparsity is None else wanted.sparsity
    path = folder / f"{name}.{models.name_of(wanted)}-{100 * share:g}.onnx"
    models.write_sparse(dense, path, wanted, share, head=name == TINY)
    click.echo(path.name)


if __name__ == "__main__":
    main()
