"""Time the compiler on stacks of equal blocks: it should grow with their number and no faster.

    python models/stacked_blocks.py --blocks 1 --blocks 10 --blocks 100

Graphs are written by hand: a transformer block with attention over heads, and a residual block of
convolutions. Widths are small, so that graphs and not weights are what takes the time.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import click
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.analyse.dims import analyse
from spa_onnx.config import PruneConfig
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from spa_onnx.pipeline import prune

OPSET = 17
BATCH, STEPS, WIDTH, HEADS, HIDDEN = 2, 6, 32, 4, 64
CHANNELS, INNER, SIZE, CLASSES = 16, 24, 8, 10


@dataclass(slots=True)
class Stack:
    """Nodes and weights of a graph that is written from the top down."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output, and return its name."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        """Add an initializer, and return its name."""
        name = f"w_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        """Add a random weight, small enough for a hundred blocks."""
        drawn = self.rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        return self.constant(drawn.astype("f4"))

    def ints(self, *numbers: int) -> str:
        """Add a shape."""
        return self.constant(np.array(numbers, np.int64))

    def linear(self, x: str, width: int, out: int) -> str:
        """Add a matrix product and a bias."""
        return self.op("Add", self.op("MatMul", x, self.weight(width, out)), self.weight(out))

    def norm(self, x: str) -> str:
        """Add a layer normalisation."""
        scale, bias = self.constant(np.ones(WIDTH, "f4")), self.constant(np.zeros(WIDTH, "f4"))
        return self.op("LayerNormalization", x, scale, bias)

    def model(self, shape: Sequence[int], result: str) -> onnx.ModelProto:
        """Return the model with an input ``x``."""
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        outputs = [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, "stack", inputs, outputs, self.weights)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def transformer_block(stack: Stack, x: str) -> str:
    """Add attention and two layers, both behind a norm and beside a residual."""
    heads = stack.ints(BATCH, STEPS, HEADS, WIDTH // HEADS)

    def split(name: str, order: Sequence[int]) -> str:
        projected = stack.linear(name, WIDTH, WIDTH)
        return stack.op("Transpose", stack.op("Reshape", projected, heads), perm=order)

    y = stack.norm(x)
    query, keys, values = split(y, (0, 2, 1, 3)), split(y, (0, 2, 3, 1)), split(y, (0, 2, 1, 3))
    scores = stack.op("Softmax", stack.op("MatMul", query, keys), axis=-1)
    mixed = stack.op("Transpose", stack.op("MatMul", scores, values), perm=(0, 2, 1, 3))
    joined = stack.op("Reshape", mixed, stack.ints(BATCH, STEPS, WIDTH))
    x = stack.op("Add", x, stack.linear(joined, WIDTH, WIDTH))
    y = stack.op("Relu", stack.linear(stack.norm(x), WIDTH, HIDDEN))
    return stack.op("Add", x, stack.linear(y, HIDDEN, WIDTH))


def transformer(blocks: int) -> onnx.ModelProto:
    """Return a stack of transformer blocks between two projections."""
    stack = Stack()
    x = stack.linear("x", CLASSES, WIDTH)
    for _ in range(blocks):
        x = transformer_block(stack, x)
    return stack.model((BATCH, STEPS, CLASSES), stack.linear(stack.norm(x), WIDTH, CLASSES))


def convolution(stack: Stack, x: str, width: int, out: int) -> str:
    """Add a convolution of three by three."""
    weight, bias = stack.weight(out, width, 3, 3), stack.weight(out)
    return stack.op("Conv", x, weight, bias, pads=[1, 1, 1, 1])


def residual_cnn(blocks: int) -> onnx.ModelProto:
    """Return a stack of residual blocks of two convolutions."""
    stack = Stack()
    x = convolution(stack, "x", 3, CHANNELS)
    for _ in range(blocks):
        y = stack.op("Relu", convolution(stack, x, CHANNELS, INNER))
        x = stack.op("Relu", stack.op("Add", x, convolution(stack, y, INNER, CHANNELS)))
    pooled = stack.op("Flatten", stack.op("GlobalAveragePool", x))
    return stack.model((BATCH, 3, SIZE, SIZE), stack.linear(pooled, CHANNELS, CLASSES))


STACKS: dict[str, Callable[[int], onnx.ModelProto]] = {
    "transformer": transformer,
    "residual": residual_cnn,
}


def seconds(path: Path, runs: int) -> tuple[float, float, float]:
    """Return the medians of load, analysis and rewriting."""
    prune(path, PruneConfig(importance="l2", verify=False))  # imports, and warm caches
    taken: list[tuple[float, float, float]] = []
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        loaded = load(path)
        opened = time.perf_counter()
        analyse(normalise(loaded), {})
        analysed = time.perf_counter()
        report = prune(path, PruneConfig(importance="l2", verify=False)).report
        taken.append((opened - start, analysed - opened, report.seconds["rewrite"]))
    loads, analyses, rewrites = zip(*taken, strict=True)
    return median(loads), median(analyses), median(rewrites)


@click.command(help=(__doc__ or "").partition("\n")[0])
@click.option("--blocks", type=int, multiple=True, default=(1, 10, 100), show_default=True)
@click.option("--runs", default=5, show_default=True, help="Medians are over so many.")
def main(blocks: Sequence[int], runs: int) -> None:
    """Print a table; seconds are medians."""
    click.echo("| stack | blocks | nodes | load s | analyse s | rewrite s | ms per block |")
    click.echo("|---|---:|---:|---:|---:|---:|---:|")
    for name, make in STACKS.items():
        for number in blocks:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "stack.onnx"
                model = make(number)
                onnx.save(model, path)
                stages = seconds(path, runs)
            each = 1000 * (stages[1] + stages[2]) / number
            shown = " | ".join(f"{taken:.4f}" for taken in stages)
            click.echo(f"| {name} | {number} | {len(model.graph.node)} | {shown} | {each:.2f} |")


if __name__ == "__main__":
    main()
