"""One small ONNX graph, put together node by node."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from model_files import Exported
from onnx import helper

TRUE, FLOAT, INT64 = True, onnx.TensorProto.FLOAT, onnx.TensorProto.INT64

MICROSOFT = "com.microsoft"


class Net:
    """Collects nodes and weights of one graph; weights are normal numbers of a fixed seed."""

    def __init__(self, opset: int = 21, seed: int = 0, dtype: Any = np.float32) -> None:
        """Take the version of the default domain and the type of weights."""
        self.opset, self.dtype = opset, np.dtype(dtype)
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.domains: dict[str, int] = {"": opset}
        self.prefix = ""

    def inner(self, prefix: str) -> "Net":
        """Return a net for the body of a control-flow node; its names carry the prefix."""
        net = Net(self.opset, 0, self.dtype)
        net.rng, net.prefix, net.domains = self.rng, prefix, self.domains
        return net

    def name(self, stem: str) -> str:
        """Return a fresh name."""
        return f"{self.prefix}{stem}_{len(self.nodes) + len(self.weights)}"

    def input(self, name: str, shape: Sequence[int | str], kind: int = FLOAT) -> str:
        """Declare an input."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], kind: int = FLOAT) -> str:
        """Declare an output."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, value: Any, name: str | None = None) -> str:
        """Store an array; Python floats take the net's type."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(self.dtype)
        name = name or self.name("c")
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int, fan: int | None = None) -> str:
        """Store normal numbers of variance ``1 / fan``; without it the first axis counts."""
        value = self.rng.standard_normal(shape) / np.sqrt(fan or shape[0])
        return self.constant(value.astype(self.dtype), self.name("w"))

    def vector(self, length: int, low: float = 0.1, high: float = 0.6) -> str:
        """Store positive numbers: biases, scales, variances."""
        return self.constant(self.rng.uniform(low, high, length).astype(self.dtype))

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return it."""
        return self.ops(kind, 1, *inputs, domain=domain, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, domain: str = "", **attributes: Any) -> Any:
        """Add a node with several outputs and return them."""
        if domain:
            self.domains.setdefault(domain, 1)
        names = [self.name(f"{kind.lower()}{k}") for k in range(count)]
        self.nodes.append(
            helper.make_node(kind, inputs, names, names[0], domain=domain, **attributes)
        )
        return names

    def dense(self, x: str, inputs: int, outputs: int, act: str | None = "Relu") -> str:
        """MatMul, Add and an activation."""
        y = self.op("Add", self.op("MatMul", x, self.weight(inputs, outputs)), self.vector(outputs))
        return self.op(act, y) if act else y

    def conv(
        self, x: str, inputs: int, outputs: int, size: int = 3, act: str | None = "Relu",
        groups: int = 1, stride: int = 1,
    ) -> str:  # fmt: skip
        """Conv with bias and an activation; odd kernels keep the size."""
        fan = inputs // groups * size * size
        weight = self.weight(outputs, inputs // groups, size, size, fan=fan)
        y = self.op(
            "Conv", x, weight, self.vector(outputs), group=groups, pads=[size // 2] * 4,
            strides=[stride] * 2,
        )  # fmt: skip
        return self.op(act, y) if act else y

    def norm(self, x: str, width: int) -> str:
        """LayerNormalization over the last axis."""
        return self.op(
            "LayerNormalization", x, self.vector(width, 0.5, 1.5), self.vector(width), axis=-1
        )

    def ints(self, *values: int) -> str:
        """Store a list of int64."""
        return self.constant(np.array(values, dtype=np.int64))

    def graph(self, name: str = "net") -> onnx.GraphProto:
        """Return the graph."""
        return helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)

    def exported(self) -> Exported:
        """Return the model with shapes inferred."""
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        model = helper.make_model(
            self.graph(), opset_imports=opsets, functions=self.functions, ir_version=10
        )
        return Exported(onnx.shape_inference.infer_shapes(model))


def head(net: Net, x: str, width: int, classes: int = 5) -> Exported:
    """Finish ``(N, width)`` with a projection and return the model."""
    net.output(net.dense(x, width, classes, None), ["N", classes])
    return net.exported()


def image_head(net: Net, x: str, width: int) -> Exported:
    """Finish an image with global pooling and a projection and return the model."""
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    return head(net, pooled, width)


Expect = float | str
"""Least share of operations removed at ratio 0.5, or text of the refusal."""


Samples = dict[str, tuple[Callable[[], Exported], Expect]]
"""By name how a model is made and what pruning makes of it."""
