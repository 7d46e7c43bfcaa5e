"""Make the models on which sparse kernels are measured as a whole, dense and with zeros.

    python models/sparse_models.py OUT --model resnet50 --sparsity 0.8 --pattern 4x1

writes OUT/resnet50.onnx and OUT/resnet50.4x1-80.onnx: the same weights, of which in every sparse
layer the smallest in magnitude are zero, in blocks where the pattern says so. Nothing is
downloaded; weights are random at scales that keep activations near one. Shapes are static, the
batch is one.

Dense stay, as in most of what is published: the first convolution, convolutions in groups
(depthwise ones above all), and the last product, which is the classifier or the decoder's head,
unless --head is given; under patterns along the inputs all convolutions. Tables that are looked
up in and products of two activations have no such weights.

The decoder has two layers of the model with seven billion parameters, and a vocabulary so much
smaller that its head has the same share as behind 32 layers.
"""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
from decoder_step import write_step
from onnx import numpy_helper

from spa_onnx.sparse.pattern import Pattern, parse_pattern

FloatArray = npt.NDArray[np.floating]

VISION = ("resnet50", "mobilenet_v2", "vit_b_16")
MODELS = (*VISION, "bert_base", "llama_step")
LAYERS, PAST, SEQUENCE = 2, 128, 128


# -- dense models -------------------------------------------------------------------------------


def export_dense(name: str, path: Path, seed: int) -> None:
    """Write a dense model; what PyTorch exports is compared with it."""
    if name == "llama_step":
        write_step(path, LAYERS, PAST)
        return
    import torchvision_zoo
    from export_jobs import Job, export

    build = torchvision_zoo.build if name in VISION else _bert
    done = export(Job(name, "legacy", False, path, seed), build)
    click.echo(f"{path}: {done.nodes} nodes, differs from PyTorch by {done.difference:.1e}")


def _bert(job: Any) -> Any:
    """Return BERT-base with a classifier on one sequence."""
    import torch
    import torchvision_operators  # noqa: F401 - before transformers, which imports torchvision
    from export_jobs import Subject
    from stirred_weights import stir
    from transformers import BertConfig, BertForSequenceClassification

    model = BertForSequenceClassification._from_config(
        BertConfig(num_labels=2), attn_implementation="eager"
    )
    generator = torch.Generator().manual_seed(job.seed)
    stir(model, generator)
    shape = (1, SEQUENCE)
    inputs = {
        "input_ids": torch.randint(1, 30000, shape, generator=generator),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
        "token_type_ids": torch.zeros(shape, dtype=torch.int64),
    }
    return Subject(model, inputs)


# -- zeros --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layer:
    """A weight that becomes sparse.

    Attributes:
        tensor: its name.
        transposed: whether its inputs come first, as those of a MatMul do.
        convolution: whether it belongs to a convolution.
    """

    tensor: str
    transposed: bool
    convolution: bool


def sparse_layers(
    model: onnx.ModelProto, pattern: Pattern, *, head: bool = False
) -> Iterator[Layer]:
    """Yield the weights that become sparse, in the order of the graph.

    Args:
        model: dense.
        pattern: of the zeros.
        head: whether the last product is one of them.
    """
    shapes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv" and n.input[1] in shapes]
    products = [
        node
        for node in model.graph.node
        if node.op_type in ("MatMul", "Gemm") and len(shapes.get(node.input[1], ())) == 2
    ]
    for node in convolutions[1:] if pattern.inputs == 1 else ():
        if all(a.name != "group" or a.i == 1 for a in node.attribute):
            yield Layer(node.input[1], False, True)
    for node in products if head else products[:-1]:
        straight = any(a.name == "transB" and a.i for a in node.attribute)
        yield Layer(node.input[1], not straight, False)


def write_sparse(
    dense: Path, path: Path, pattern: Pattern, sparsity: float, *, head: bool = False
) -> float:
    """Write a model with the smallest blocks of every sparse layer at zero.

    Returns:
        the share of zeros in the sparse layers.
    """
    model = onnx.load(dense, load_external_data=False)
    layers = {layer.tensor: layer for layer in sparse_layers(model, pattern, head=head)}
    zeros = total = 0
    data = path.with_name(f"{path.name}.data")
    outside = dense.with_name(f"{dense.name}.data")
    if outside.exists():
        shutil.copyfile(outside, data)
    for tensor in model.graph.initializer:
        layer = layers.get(tensor.name)
        if layer is not None:
            weight = numpy_helper.to_array(tensor, str(dense.parent))
            weight = _zeroed(weight, layer, pattern, sparsity)
            zeros += int((weight == 0).sum())
            total += weight.size
            _replace(tensor, weight, data)
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = data.name
    path.write_bytes(model.SerializeToString())
    return zeros / total


def _zeroed(weight: FloatArray, layer: Layer, pattern: Pattern, sparsity: float) -> FloatArray:
    """Return a weight without its smallest blocks."""
    rows = weight.T if layer.transposed else weight.reshape(len(weight), -1)
    worth = np.abs(rows, dtype=np.float64)
    order = np.arange(rows.shape[1])[None]
    stays = pattern.mask(worth[None], order, sparsity)[0]
    kept = np.where(stays, rows, np.float32(0))
    return np.ascontiguousarray(kept.T if layer.transposed else kept).reshape(weight.shape)


def _replace(tensor: onnx.TensorProto, weight: FloatArray, data: Path) -> None:
    """Put a weight where the tensor's data was."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    with data.open("r+b") as file:
        file.seek(int(place["offset"]))
        file.write(weight.data.cast("B"))


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--model", "names", multiple=True, type=click.Choice(MODELS), help="Without it, all.")
@click.option("--sparsity", "sparsities", multiple=True, default=(0.8,), show_default=True)
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    default=("unstructured", "4x1"),
    show_default=True,
    help="unstructured, PxQ (outputs x inputs) or N:M. Repeatable.",
)
@click.option("--head", is_flag=True, help="Zeros in the last product, too.")
@click.option("--seed", default=0, show_default=True)
def main(
    out: Path,
    names: tuple[str, ...],
    sparsities: tuple[float, ...],
    patterns: tuple[str, ...],
    head: bool,
    seed: int,
) -> None:
    """Write dense and sparse models into OUT; files that are there already stay."""
    warnings.simplefilter("ignore")
    out.mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        dense = out / f"{name}.onnx"
        if not dense.exists():
            export_dense(name, dense, seed)
        for pattern in map(parse_pattern, patterns):
            write_all(dense, pattern, sparsities, head=head)


def write_all(dense: Path, pattern: Pattern, sparsities: Sequence[float], *, head: bool) -> None:
    """Write a model with a pattern at every sparsity that is not there yet."""
    for sparsity in [pattern.sparsity] if pattern.sparsity is not None else sparsities:
        name = f"{dense.stem}.{name_of(pattern)}-{100 * sparsity:g}{'-head' * head}.onnx"
        path = dense.with_name(name)
        if not path.exists():
            zeros = write_sparse(dense, path, pattern, sparsity, head=head)
            click.echo(f"{path}: {zeros:.1%} of the sparse layers' weights are zero")


def name_of(pattern: Pattern) -> str:
    """Return a pattern as a part of a file name."""
    return str(pattern).replace(":", "of")


if __name__ == "__main__":
    main()
