"""Write a decoder of LLaMA's shape with external float16 weights, as large as one likes.

    python models/large_llama.py OUT --layers 32

writes OUT/llama.onnx and OUT/llama.bin: 6.7 billion parameters, 13.5 GB, in about the time that the
disk takes, and with the memory of one block of numbers. Needs only onnx, numpy and click.

The weights are one block of seeded normal numbers over and over, begun elsewhere for every weight
and scaled so that activations stay near one. The block's length is a prime, so no two rows of a
weight are the same numbers in the same columns.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import click
import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Halves = npt.NDArray[np.float16]

BLOCK = 1_048_573
"""Numbers that are repeated; a prime."""
STRIDE = 104_729
"""How much later each weight begins in the block than the one before."""
PAGE = 4096
OPSET, IR_VERSION = 17, 8
HALF, FLOAT, INT64 = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
MASKED = -1e4
"""Score of a position that is in the future."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths of a decoder; the defaults are those of the model with seven billion parameters."""

    layers: int = 32
    width: int = 4096
    heads: int = 32
    key_heads: int = 32
    hidden: int = 11008
    words: int = 32000

    @property
    def head(self) -> int:
        """Return the width of a head."""
        return self.width // self.heads


SEVEN_BILLION = Shape()


@cache
def block(scale: float) -> Halves:
    """Return the numbers that weights of this scale repeat."""
    numbers = np.random.default_rng(0).standard_normal(BLOCK, np.float32)
    return (numbers * np.float32(scale)).astype(np.float16)


def stretch(count: int, start: int, scale: float) -> Iterator[memoryview]:
    """Yield the bytes of ``count`` numbers from position ``start`` of the repeated block on."""
    numbers = block(scale)
    start %= BLOCK
    while count:
        part = numbers[start : start + count]
        yield part.data.cast("B")
        count -= len(part)
        start = 0


class Decoder:
    """Collects the graph, and writes every weight to the data file as it is asked for."""

    def __init__(self, shape: Shape, data: BinaryIO, location: str) -> None:
        """Take the widths and the open file of the weights."""
        self.shape, self._data, self._location = shape, data, location
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []
        self._scope = ""

    # -- graph --------------------------------------------------------------------------------

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        name = f"{self._scope}{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, value: Any, dtype: npt.DTypeLike = np.int64) -> str:
        """Store a small array."""
        name = f"{self._scope}constant_{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, name: str, *shape: int, scale: float) -> str:
        """Write a matrix of normal numbers with standard deviation ``scale``."""
        offset = -(-self._data.tell() // PAGE) * PAGE
        self._data.seek(offset)
        for piece in stretch(math.prod(shape), len(self._tensors) * STRIDE, scale):
            self._data.write(piece)
        tensor = onnx.TensorProto(
            name=self._scope + name, data_type=HALF, dims=shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )  # fmt: skip
        length = 2 * math.prod(shape)
        for key, value in (("location", self._location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self._tensors.append(tensor)
        return tensor.name

    def linear(self, x: str, name: str, inputs: int, outputs: int, gain: float = 1.0) -> str:
        """Multiply the last axis by a matrix that keeps the variance, or scales it."""
        return self.op(
            "MatMul", x, self.weight(name, inputs, outputs, scale=gain / math.sqrt(inputs))
        )

    def norm(self, x: str) -> str:
        """Root-mean-square normalisation over the last axis, statistics in float32."""
        wide = self.op("Cast", x, to=FLOAT)
        square = self.op("Mul", wide, wide)
        mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        deviation = self.op("Sqrt", self.op("Add", mean, self.constant(1e-5, np.float32)))
        narrow = self.op("Cast", self.op("Div", wide, deviation), to=HALF)
        rng = np.random.default_rng(len(self._tensors))
        return self.op(
            "Mul", narrow, self.constant(rng.uniform(0.7, 1.3, self.shape.width), np.float16)
        )

    # -- layers -------------------------------------------------------------------------------

    def rotary(self, ids: str) -> tuple[str, str, str]:
        """Return cosines and sines of the positions, shape (S, head), and the causal mask."""
        length = self.op("Gather", self.op("Shape", ids), self.constant(1))
        steps = self.op("Range", self.constant(0), length, self.constant(1))
        column = self.op("Unsqueeze", steps, self.constant([1]))
        half = self.shape.head // 2
        rates = self.constant(1e4 ** (-np.arange(half) / half), np.float32)
        angles = self.op("Mul", self.op("Cast", column, to=FLOAT), rates)
        angles = self.op("Concat", angles, angles, axis=-1)
        past = self.op("GreaterOrEqual", column, steps)
        cosine, sine = (self.op("Cast", self.op(f, angles), to=HALF) for f in ("Cos", "Sin"))
        return cosine, sine, past

    def split(self, x: str, heads: int) -> str:
        """Reshape (B, S, heads * head) to (B, heads, S, head)."""
        shape = self.constant([0, 0, heads, self.shape.head])
        return self.op("Transpose", self.op("Reshape", x, shape), perm=[0, 2, 1, 3])

    def turn(self, x: str, cosine: str, sine: str) -> str:
        """Turn pairs of lanes by their position's angle."""
        half, end, last = self.shape.head // 2, np.iinfo(np.int64).max, self.constant([-1])
        low = self.op("Slice", x, self.constant([0]), self.constant([half]), last)
        high = self.op("Slice", x, self.constant([half]), self.constant([end]), last)
        turned = self.op("Concat", self.op("Neg", high), low, axis=-1)
        return self.op("Add", self.op("Mul", x, cosine), self.op("Mul", turned, sine))

    def repeat(self, x: str) -> str:
        """Let every key head serve its group of query heads."""
        shape = self.shape
        times = shape.heads // shape.key_heads
        if times == 1:
            return x
        x = self.op("Unsqueeze", x, self.constant([2]))
        x = self.op("Expand", x, self.constant([1, 1, times, 1, 1]))
        return self.op("Reshape", x, self.constant([0, shape.heads, -1, shape.head]))

    def attention(self, x: str, cosine: str, sine: str, past: str) -> str:
        """Causal attention with rotary positions."""
        shape = self.shape
        keys_width = shape.key_heads * shape.head
        query = self.split(self.linear(x, "q", shape.width, shape.width), shape.heads)
        key = self.split(self.linear(x, "k", shape.width, keys_width), shape.key_heads)
        value = self.split(self.linear(x, "v", shape.width, keys_width), shape.key_heads)
        query, key = self.turn(query, cosine, sine), self.turn(key, cosine, sine)
        key, value = self.repeat(key), self.repeat(value)
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scaled = self.op("Mul", scores, self.constant(shape.head**-0.5, np.float16))
        seen = self.op("Where", past, scaled, self.constant(MASKED, np.float16))
        mixed = self.op("MatMul", self.op("Softmax", seen, axis=-1), value)
        flat = self.op("Transpose", mixed, perm=[0, 2, 1, 3])
        flat = self.op("Reshape", flat, self.constant([0, 0, shape.width]))
        return self.linear(flat, "o", shape.width, shape.width, (2 * shape.layers) ** -0.5)

    def feed_forward(self, x: str) -> str:
        """SwiGLU."""
        width, hidden = self.shape.width, self.shape.hidden
        gate = self.linear(x, "gate", width, hidden)
        gate = self.op("Mul", gate, self.op("Sigmoid", gate))
        both = self.op("Mul", gate, self.linear(x, "up", width, hidden))
        return self.linear(both, "down", hidden, width, (2 * self.shape.layers) ** -0.5)

    def model(self) -> onnx.ModelProto:
        """Write all layers and return the model, weights outside."""
        shape = self.shape
        table = self.weight("embedding", shape.words, shape.width, scale=1.0)
        x = self.op("Gather", table, "input_ids")
        cosine, sine, past = self.rotary("input_ids")
        for k in range(shape.layers):
            self._scope = f"layer_{k}/"
            x = self.op("Add", x, self.attention(self.norm(x), cosine, sine, past))
            x = self.op("Add", x, self.feed_forward(self.norm(x)))
        self._scope = ""
        logits = self.linear(self.norm(x), "head", shape.width, shape.words)
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"], "logits"))
        ids = helper.make_tensor_value_info("input_ids", INT64, ["batch", "sequence"])
        result = helper.make_tensor_value_info("logits", HALF, ["batch", "sequence", shape.words])
        graph = helper.make_graph(self._nodes, "llama", [ids], [result], self._tensors)
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)


def write(folder: Path, shape: Shape) -> Path:
    """Write the model and its weights; return the model's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path, data = folder / "llama.onnx", folder / "llama.bin"
    with data.open("wb") as file:
        model = Decoder(shape, file, data.name).model()
    path.write_bytes(model.SerializeToString())
    return path


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--layers", default=SEVEN_BILLION.layers, show_default=True)
@click.option("--width", default=SEVEN_BILLION.width, show_default=True)
@click.option("--heads", default=SEVEN_BILLION.heads, show_default=True)
@click.option("--key-heads", default=SEVEN_BILLION.key_heads, show_default=True)
@click.option("--hidden", default=SEVEN_BILLION.hidden, show_default=True)
@click.option("--words", default=SEVEN_BILLION.words, show_default=True)
def main(out: Path, **widths: int) -> None:
    """Write OUT/llama.onnx with its weights in OUT/llama.bin."""
    path = write(out, Shape(**widths))
    size = path.with_suffix(".bin").stat().st_size
    click.echo(f"{path}: {size / 1e9:.1f} GB of weights")


if __name__ == "__main__":
    main()
