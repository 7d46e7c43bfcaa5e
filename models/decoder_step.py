"""One token's step of a decoder of LLaMA's shape: float32, keys and values of the past as inputs.

The graph is written by hand, from the parts of ``large_llama.py``, and its weights go to a file
beside it as they are drawn. What follows from the position alone is constant, since the length of
the past is.
"""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from large_llama import FLOAT, INT64, IR_VERSION, OPSET, PAGE, Decoder, Shape
from onnx import helper

WORDS_PER_LAYER = 1000
"""Vocabulary for each layer: the head's share of the work is that of 32 layers and 32000 words."""


class Step(Decoder):
    """A decoder that takes one token behind a past."""

    def __init__(self, shape: Shape, data: BinaryIO, location: str, past: int) -> None:
        """Take widths, the open file of the weights and the length of the past."""
        super().__init__(shape, data, location)
        self.past = past

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """Store a small array; halves become float32."""
        return super().constant(value, np.float32 if dtype is np.float16 else dtype)

    def weight(self, name: str, *shape: int, scale: float) -> str:
        """Write a matrix of normal numbers with standard deviation ``scale``."""
        offset = -(-self._data.tell() // PAGE) * PAGE
        self._data.seek(offset)
        numbers = np.random.default_rng(len(self._tensors)).standard_normal(shape, np.float32)
        numbers *= np.float32(scale)
        self._data.write(numbers.data.cast("B"))
        tensor = onnx.TensorProto(
            name=self._scope + name, data_type=FLOAT, dims=shape,
            data_location=onnx.TensorProto.EXTERNAL,
        )  # fmt: skip
        place = {"location": self._location, "offset": offset, "length": numbers.nbytes}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._tensors.append(tensor)
        return tensor.name

    def norm(self, x: str) -> str:
        """Root-mean-square normalisation in the form that ONNX Runtime makes one operator of."""
        square = self.op("Pow", x, self.constant(2.0, np.float32))
        mean = self.op("ReduceMean", square, axes=[-1], keepdims=1)
        deviation = self.op("Sqrt", self.op("Add", mean, self.constant(1e-5, np.float32)))
        rng = np.random.default_rng(len(self._tensors))
        gain = self.constant(rng.uniform(0.7, 1.3, self.shape.width), np.float32)
        return self.op("Mul", self.op("Div", x, deviation), gain)

    def angles(self) -> tuple[str, str]:
        """Return cosines and sines of the token's position, shape (1, head)."""
        half = self.shape.head // 2
        angles = self.past * 1e4 ** (-np.arange(half) / half)
        both = np.concatenate([angles, angles])[None]
        return self.constant(np.cos(both), np.float32), self.constant(np.sin(both), np.float32)

    def step(self, x: str, layer: int, cosine: str, sine: str) -> str:
        """Attend to the past and to the token itself."""
        shape = self.shape
        keys_width = shape.key_heads * shape.head
        query = self.split(self.linear(x, "q", shape.width, shape.width), shape.heads)
        key = self.split(self.linear(x, "k", shape.width, keys_width), shape.key_heads)
        value = self.split(self.linear(x, "v", shape.width, keys_width), shape.key_heads)
        query, key = self.turn(query, cosine, sine), self.turn(key, cosine, sine)
        key = self._joined("key", layer, key)
        value = self._joined("value", layer, value)
        key, value = self.repeat(key), self.repeat(value)
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scaled = self.op("Mul", scores, self.constant(shape.head**-0.5, np.float32))
        mixed = self.op("MatMul", self.op("Softmax", scaled, axis=-1), value)
        flat = self.op("Transpose", mixed, perm=[0, 2, 1, 3])
        flat = self.op("Reshape", flat, self.constant([0, 0, shape.width]))
        return self.linear(flat, "o", shape.width, shape.width, (2 * shape.layers) ** -0.5)

    def _joined(self, kind: str, layer: int, new: str) -> str:
        """Put the token's keys or values behind those of the past."""
        name = f"present_{kind}_{layer}"
        past = f"past_{kind}_{layer}"
        self._nodes.append(helper.make_node("Concat", [past, new], [name], name, axis=2))
        return name

    def model(self) -> onnx.ModelProto:
        """Write all layers and return the model, weights outside."""
        shape = self.shape
        table = self.weight("embedding", shape.words, shape.width, scale=1.0)
        x = self.op("Gather", table, "input_ids")
        cosine, sine = self.angles()
        for k in range(shape.layers):
            self._scope = f"layer_{k}/"
            x = self.op("Add", x, self.step(self.norm(x), k, cosine, sine))
            x = self.op("Add", x, self.feed_forward(self.norm(x)))
        self._scope = ""
        logits = self.linear(self.norm(x), "head", shape.width, shape.words)
        self._nodes.append(helper.make_node("Identity", [logits], ["logits"], "logits"))
        inputs = [helper.make_tensor_value_info("input_ids", INT64, [1, 1])]
        outputs = [helper.make_tensor_value_info("logits", FLOAT, [1, 1, shape.words])]
        for k in range(shape.layers):
            for kind in ("key", "value"):
                before = [1, shape.key_heads, self.past, shape.head]
                after = [1, shape.key_heads, self.past + 1, shape.head]
                inputs.append(helper.make_tensor_value_info(f"past_{kind}_{k}", FLOAT, before))
                outputs.append(helper.make_tensor_value_info(f"present_{kind}_{k}", FLOAT, after))
        graph = helper.make_graph(self._nodes, "step", inputs, outputs, self._tensors)
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)


def write_step(path: Path, layers: int, past: int) -> None:
    """Write a model of so many layers of the model with seven billion parameters."""
    data = path.with_name(f"{path.name}.data")
    shape = Shape(layers=layers, words=WORDS_PER_LAYER * layers)
    with data.open("wb") as file:
        model = Step(shape, file, data.name, past).model()
    path.write_bytes(model.SerializeToString())
