"""Sequences, optional values, strings, tensors of size zero, detection and sampling."""

import numpy as np
import onnx
from model_files import Exported
from onnx import helper

from handwritten.net import FLOAT, INT64, Net, Samples, head, image_head


def sequences() -> Exported:
    """Branches joined through a sequence, split into one, and one that leaves the model."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    parts = [net.dense(x, 48, 24), net.dense(x, 48, 24, "Tanh")]
    row = net.op("SequenceConstruct", *parts)
    joined = net.op("ConcatFromSequence", row, axis=1)
    pieces = net.op("SplitToSequence", joined, net.constant(np.array(16)), axis=1)
    one = net.op("SequenceAt", pieces, net.constant(np.array(1)))
    y = net.op("Add", net.dense(one, 16, 40), net.dense(joined, 48, 40))
    sequence = net.op("SequenceConstruct", net.dense(y, 40, 6), net.dense(y, 40, 6))
    kind = helper.make_tensor_sequence_value_info(sequence, FLOAT, ["N", 6])
    net.outputs.append(kind)
    return head(net, y, 40)


def optional_value() -> Exported:
    """A tensor wrapped as optional and unwrapped behind an If."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    wrapped = net.op("Optional", x)
    has = net.op("OptionalHasElement", wrapped)
    bodies = []
    for side in ("yes", "no"):
        body = net.inner(f"{side}_")
        y = body.op("OptionalGetElement", wrapped) if side == "yes" else body.op("Neg", x)
        body.output(body.dense(y, 48, 40), ["N", 40])
        bodies.append(body.graph(side))
    return head(net, net.op("If", has, then_branch=bodies[0], else_branch=bodies[1]), 40)


def strings() -> Exported:
    """Strings pass through, become word numbers, and label the best class."""
    net = Net()
    text = net.input("text", ["N", 4], onnx.TensorProto.STRING)
    words = net.op("LabelEncoder", text, domain="ai.onnx.ml", keys_strings=["cat", "dog", "emu"],
                   values_int64s=[1, 2, 3], default_int64=0)  # fmt: skip
    net.domains["ai.onnx.ml"] = 3
    x = net.op("Gather", net.weight(4, 48, fan=2), words)
    x = net.dense(net.op("ReduceMean", x, net.ints(1), keepdims=0), 48, 64)
    logits = net.dense(net.dense(x, 64, 40), 40, 3, None)
    best = net.op("ArgMax", logits, axis=1, keepdims=0)
    names = helper.make_tensor(
        net.name("s"), onnx.TensorProto.STRING, [3], [b"cat", b"dog", b"emu"]
    )
    net.weights.append(names)
    net.output(net.op("Gather", names.name, best), ["N"], onnx.TensorProto.STRING)
    net.output(net.op("Identity", text), ["N", 4], onnx.TensorProto.STRING)
    net.output(logits, ["N", 3])
    return net.exported()


def zero_sizes() -> Exported:
    """Empty tensors: a joined part of no channels, empty axes, a split of length zero."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24)
    nothing = net.op("Slice", x, net.ints(24), net.ints(24), net.ints(1))
    x = net.op("Concat", x, nothing, net.conv(x, 24, 16, 1), axis=1)
    left, empty, right = net.ops("Split", 3, x, net.ints(24, 0, 16), axis=1)
    y = net.op("Concat", net.op("Relu", empty), net.conv(left, 24, 16, 1), axis=1)
    y = net.op("Add", y, right)
    empty_sizes = net.constant(np.zeros(0, np.float32))
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    y = net.op("Resize", y, empty_sizes, scales, mode="nearest")
    pooled = net.op("Flatten", net.op("GlobalAveragePool", net.conv(y, 16, 40)))
    net.output(net.op("ReduceSum", nothing, net.ints(1), keepdims=0), ["N", 12, 12])
    return head(net, pooled, 40)


def detection() -> Exported:
    """Boxes and scores with TopK and GatherElements, and NonMaxSuppression behind."""
    net = Net()
    x = net.conv(net.conv(net.input("x", [1, 3, 16, 16]), 3, 24, stride=2), 24, 32)
    boxes = net.op("Reshape", net.conv(x, 32, 4, act="Sigmoid"), net.ints(1, 4, 64))
    boxes = net.op("Transpose", boxes, perm=[0, 2, 1])
    scores = net.op("Reshape", net.conv(x, 32, 3, act="Sigmoid"), net.ints(1, 3, 64))
    limit = net.constant(np.array([5]))
    _, best = net.ops("TopK", 2, net.op("ReduceMax", scores, net.ints(1), keepdims=0), limit)
    rows = net.op("Expand", net.op("Unsqueeze", best, net.ints(-1)), net.ints(1, 5, 4))
    net.output(net.op("GatherElements", boxes, rows, axis=1), [1, 5, 4])
    net.output(net.op("NonMaxSuppression", boxes, scores, limit), [None, 3], INT64)
    net.output(scores, [1, 3, 64])
    return net.exported()


def sampling() -> Exported:
    """GridSample with a learned flow, and a spatial transformer's AffineGrid."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 12, 12]), 3, 24)
    theta = net.dense(net.op("Flatten", net.op("GlobalAveragePool", x)), 24, 6, "Tanh")
    theta = net.op("Reshape", theta, net.ints(1, 2, 3))
    grid = net.op("AffineGrid", theta, net.ints(1, 24, 12, 12))
    x = net.op("GridSample", x, grid)
    flow = net.op("Transpose", net.conv(x, 24, 2, act="Tanh"), perm=[0, 2, 3, 1])
    return image_head(net, net.conv(net.op("GridSample", net.conv(x, 24, 32), flow), 32, 40), 40)


def scattered_cache() -> Exported:
    """New keys written into a cache by ScatterND and ScatterElements, then attended to."""
    net = Net()
    x = net.dense(net.input("x", [2, 3, 32]), 32, 40, "Tanh")
    q, k, v = (net.dense(x, 40, 24, None) for _ in range(3))
    empty = net.constant(np.zeros((2, 6, 24)))
    places = net.constant(np.stack(np.meshgrid([0, 1], [1, 2, 3], indexing="ij"), axis=-1))
    keys = net.op("ScatterND", empty, places, k)
    rows = net.op("Expand", net.constant(np.array([[[1], [2], [3]]])), net.op("Shape", v))
    values = net.op("ScatterElements", empty, rows, v, axis=1)
    scores = net.op("MatMul", q, net.op("Transpose", keys, perm=[0, 2, 1]))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), values)
    return head(net, net.op("ReduceMean", net.dense(y, 24, 48), net.ints(1), keepdims=0), 48)


SAMPLES: Samples = {
    "sequences": (sequences, 0.48),
    "optional_value": (optional_value, 0.65),
    "strings": (strings, 0.72),
    "zero_sizes": (zero_sizes, 0.72),
    "detection": (detection, 0.66),
    "sampling": (sampling, 0.71),
    "scattered_cache": (scattered_cache, 0.55),
}
