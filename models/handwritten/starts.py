"""Plain networks that the tools of ONNX Runtime quantise and optimise."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from model_files import Exported

from handwritten.net import INT64, Net, head, image_head


def small_cnn() -> onnx.ModelProto:
    """A residual CNN with a depthwise convolution, to be quantised or optimised."""
    net = Net(opset=17)
    x = net.conv(net.input("x", ["N", 3, 16, 16]), 3, 24)
    x = net.op("Relu", net.op("Add", x, net.conv(net.conv(x, 24, 32), 32, 24, act=None)))
    x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(net.conv(x, 24, 24, groups=24), 24, 40, 1)
    return image_head(net, net.op("Concat", x, net.conv(x, 40, 24, 1), axis=1), 64).model


def attention(net: Net, x: str, width: int, heads: int, steps: int) -> str:
    """Multi-head attention over ``(N, T, C)`` as most exporters write it."""
    size = width // heads

    def split(perm: Sequence[int]) -> str:
        y = net.op("Reshape", net.dense(x, width, width, None), net.ints(0, steps, heads, size))
        return net.op("Transpose", y, perm=perm)

    q, k, v = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
    scores = net.op("Div", net.op("MatMul", q, k), net.constant(np.sqrt(size)))
    mixed = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    mixed = net.op(
        "Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), net.ints(0, steps, width)
    )
    return net.dense(mixed, width, width, None)


def erf_gelu(net: Net, x: str) -> str:
    """GELU in five nodes."""
    e = net.op("Erf", net.op("Div", x, net.constant(np.sqrt(2.0))))
    return net.op("Mul", net.op("Mul", x, net.op("Add", e, net.constant(1.0))), net.constant(0.5))


def small_transformer(words: bool = True) -> onnx.ModelProto:
    """Two blocks with LayerNorm behind the layers, as in BERT; words or features come in."""
    net = Net(opset=17)
    width, steps = 32, 8
    if words:
        x = net.op("Gather", net.weight(60, width, fan=2), net.input("ids", ["N", steps], INT64))
        x = net.norm(net.op("Add", x, net.weight(steps, width, fan=2)), width)
    else:
        x = net.input("x", ["N", steps, width])
    for _ in range(2):
        x = net.norm(net.op("Add", x, attention(net, x, width, 4, steps)), width)
        hidden = net.op("Add", net.op("MatMul", x, net.weight(width, 96)), net.vector(96))
        y = net.dense(erf_gelu(net, hidden), 96, width, None)
        x = net.norm(net.op("Add", x, y), width)
    pooled = net.op("ReduceMean", x, axes=[1], keepdims=0)
    return head(net, pooled, width).model


def plain_mlp() -> onnx.ModelProto:
    """Three layers, to be quantised to four bits: widths are multiples of its blocks."""
    net = Net()
    x = net.dense(net.dense(net.input("x", ["N", 32]), 32, 64), 64, 96)
    return head(net, x, 96).model


def with_files(model: onnx.ModelProto, change: Callable[[Path, Path], object]) -> Exported:
    """Return what a tool makes of a model that reads one file and writes another."""
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.onnx", Path(folder) / "after.onnx"
        onnx.save(model, before)
        change(before, after)
        return Exported(onnx.load(after))
