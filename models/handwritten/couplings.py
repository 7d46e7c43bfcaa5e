"""Couplings that are easy to get wrong."""

import numpy as np
from model_files import Exported

from handwritten.net import Net, Samples, head, image_head


def gram_matrix() -> Exported:
    """Bilinear pooling: the product of features with themselves, flattened into a projection."""
    net = Net()
    x = net.conv(net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24), 24, 16, act="Tanh")
    rows = net.op("Reshape", x, net.ints(0, 16, 144))
    gram = net.op("MatMul", rows, net.op("Transpose", rows, perm=[0, 2, 1]))
    flat = net.op("Flatten", net.op("Mul", gram, net.constant(np.array(1 / 144))))
    return head(net, net.dense(flat, 256, 40), 40)


def reordered_channels() -> Exported:
    """Channels gathered by a constant order, sliced by step two, mirrored, doubled by Concat."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 32)
    order = net.ints(*np.random.default_rng(5).permutation(32).tolist())
    x = net.conv(net.op("Gather", x, order, axis=1), 32, 32, groups=2)
    even = net.op("Slice", x, net.ints(0), net.ints(32), net.ints(1), net.ints(2))
    odd = net.op("Slice", x, net.ints(1), net.ints(32), net.ints(1), net.ints(2))
    x = net.conv(net.op("Mul", even, net.op("Sigmoid", odd)), 16, 24)
    mirrored = net.op("Slice", x, net.ints(-1), net.ints(-1000), net.ints(1), net.ints(-1))
    x = net.conv(net.op("Add", x, mirrored), 24, 24)
    return image_head(net, net.op("Concat", x, x, net.op("Neg", x), axis=1), 72)


def maxout_and_pairs() -> Exported:
    """Maxout over reshaped channels, gated halves, a sum over groups of channels."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 96, None)
    x = net.op("ReduceMax", net.op("Reshape", x, net.ints(0, 48, 2)), net.ints(2), keepdims=0)
    x = net.dense(x, 48, 80, None)
    a, b = net.ops("Split", 2, x, axis=-1, num_outputs=2)
    x = net.op("Mul", a, net.op("Sigmoid", b))
    x = net.dense(x, 40, 72, None)
    x = net.op("ReduceSum", net.op("Reshape", x, net.ints(0, 3, 24)), net.ints(1), keepdims=0)
    return head(net, net.op("Tanh", x), 24)


def folded_batch() -> Exported:
    """Channels folded into the batch for a shared filter, and frames of a video likewise."""
    net = Net()
    x = net.conv(net.input("x", [2, 3, 12, 12]), 3, 24)
    single = net.op("Reshape", x, net.ints(48, 1, 12, 12))
    blurred = net.op("Conv", single, net.weight(1, 1, 3, 3, fan=3), pads=[1] * 4)
    x = net.conv(net.op("Reshape", blurred, net.ints(2, 24, 12, 12)), 24, 32)
    video = net.op("Reshape", x, net.ints(2, 32, 12, 12))
    wide = net.op("Reshape", net.op("Transpose", video, perm=[0, 2, 1, 3]), net.ints(24, 32, 12))
    y = net.op("Conv", wide, net.weight(40, 32, 3, fan=96), pads=[1, 1])
    y = net.op("ReduceMean", net.op("Reshape", net.op("Relu", y), net.ints(2, 12, 40, 12)),
               net.ints(1, 3), keepdims=0)  # fmt: skip
    return head(net, y, 40)


def low_rank_and_outer() -> Exported:
    """Factorised weights, an outer product of two features, a sum along one of its axes."""
    net = Net()
    x = net.input("x", ["N", 32])
    x = net.dense(net.op("MatMul", x, net.weight(32, 16)), 16, 48)
    a, b = net.dense(x, 48, 12, "Tanh"), net.dense(x, 48, 20)
    outer = net.op(
        "MatMul", net.op("Unsqueeze", a, net.ints(2)), net.op("Unsqueeze", b, net.ints(1))
    )
    y = net.dense(net.op("Reshape", outer, net.ints(-1, 240)), 240, 40)
    along = net.op("ReduceSum", outer, net.ints(1), keepdims=0)
    return head(net, net.op("Concat", y, along, axis=1), 60)


SAMPLES: Samples = {
    "gram_matrix": (gram_matrix, 0.69),
    "reordered_channels": (reordered_channels, 0.6),
    "maxout_and_pairs": (maxout_and_pairs, 0.64),
    "folded_batch": (folded_batch, 0.71),
    "low_rank_and_outer": (low_rank_and_outer, 0.69),
}
