"""What vision and sequence networks use beside the usual."""

import numpy as np
import onnx
from model_files import Exported

from handwritten.net import Net, Samples, head, image_head


def recurrent_with_extras() -> Exported:
    """LSTM with peepholes, lengths and a first state; GRU with its reset in front; a plain RNN."""
    net = Net()
    x = net.input("x", [6, 2, 32])
    lengths = net.input("lengths", [2], onnx.TensorProto.INT32)
    start = net.op("Unsqueeze", net.dense(net.input("s", [2, 10]), 10, 24, "Tanh"), net.ints(0))
    x = net.ops(
        "LSTM", 2, x, net.weight(1, 96, 32, fan=32), net.weight(1, 96, 24, fan=24),
        net.weight(1, 192, fan=20), lengths, start, start, net.weight(1, 72, fan=9),
        hidden_size=24, input_forget=0,
    )[0]  # fmt: skip
    x = net.op("Squeeze", x, net.ints(1))
    x = net.ops(
        "GRU", 2, x, net.weight(2, 60, 24, fan=24), net.weight(2, 60, 20, fan=20),
        net.weight(2, 120, fan=20), hidden_size=20, direction="bidirectional",
    )[0]  # fmt: skip
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1, 3]), net.ints(6, 2, 40))
    x = net.ops(
        "RNN", 2, x, net.weight(1, 32, 40, fan=40), net.weight(1, 32, 32, fan=32),
        net.weight(1, 64, fan=30), hidden_size=32, direction="reverse", activations=["Relu"],
    )[1]  # fmt: skip
    return head(net, net.op("Squeeze", x, net.ints(0)), 32)


def rearranging() -> Exported:
    """SpaceToDepth, channel shuffle, DepthToSpace, tiled and padded channels, mirrored halves."""
    net = Net()
    x = net.conv(net.op("SpaceToDepth", net.input("x", ["N", 3, 16, 16]), blocksize=2), 12, 32)
    x = net.op("Reshape", x, net.ints(0, 4, 8, 8, 8))
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1, 3, 4]), net.ints(0, 32, 8, 8))
    x = net.conv(x, 32, 32, groups=4)
    doubled = net.op("Concat", x, net.op("Neg", x), axis=1)  # CReLU
    x = net.conv(net.op("Relu", doubled), 64, 48)
    x = net.op("DepthToSpace", x, blocksize=2, mode="CRD")
    x = net.op("Pad", net.conv(x, 12, 20), net.ints(0, 0, 0, 0, 0, 4, 0, 0))
    x = net.op("Add", x, net.conv(x, 24, 24))
    a, b = net.ops("Split", 2, net.conv(x, 24, 48), axis=1, num_outputs=2)
    gated = net.op("Mul", a, net.op("Sigmoid", b))
    tiled = net.op("Tile", net.conv(gated, 24, 8, 1), net.ints(1, 3, 1, 1))
    return image_head(net, net.op("Add", gated, tiled), 24)


def einsum_attention() -> Exported:
    """Attention by Einsum with weights split by head."""
    net = Net()
    x = net.input("x", ["N", 6, 32])
    q, k, v = (
        net.op("Einsum", x, net.weight(32, 4, 10), equation="btc,chd->bthd") for _ in range(3)
    )
    scores = net.op("Softmax", net.op("Einsum", q, k, equation="bqhd,bkhd->bhqk"), axis=-1)
    mixed = net.op("Einsum", scores, v, equation="bhqk,bkhd->bqhd")
    y = net.op("Einsum", mixed, net.weight(4, 10, 32, fan=40), equation="bthd,hdc->btc")
    x = net.norm(net.op("Add", x, y), 32)
    hidden = net.op("Gelu", net.dense(x, 32, 80, None))
    x = net.op("Add", x, net.dense(hidden, 80, 32, None))
    return head(net, net.op("ReduceMean", x, net.ints(1), keepdims=0), 32)


def mixture_of_experts() -> Exported:
    """Every expert runs on all rows; a soft gate mixes them; experts are stacked weights."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    gate = net.op("Softmax", net.dense(x, 48, 4, None), axis=-1)
    rows = net.op("Unsqueeze", x, net.ints(0))
    hidden = net.op("Relu", net.op("MatMul", rows, net.weight(4, 48, 64, fan=48)))
    y = net.op("MatMul", hidden, net.weight(4, 64, 48, fan=64))
    mixed = net.op("Einsum", gate, y, equation="ne,enc->nc")
    return head(net, net.op("Add", x, mixed), 48)


def normalisations() -> Exported:
    """Group, instance, layer, Lp, mean-variance and local response normalisation."""
    net = Net()
    x = net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24, act=None)
    x = net.op("Relu", net.op("GroupNormalization", x, net.vector(24, 0.5, 1.5), net.vector(24),
               num_groups=4))  # fmt: skip
    x = net.conv(x, 24, 32, act=None)
    x = net.op("InstanceNormalization", x, net.vector(32, 0.5, 1.5), net.vector(32))
    x = net.conv(net.op("PRelu", x, net.constant(np.full((32, 1, 1), 0.2))), 32, 40, act=None)
    x = net.op("MeanVarianceNormalization", x, axes=[0, 2, 3])
    x = net.conv(net.op("Mish", x), 40, 40, act="HardSwish")
    x = net.conv(net.op("LRN", x, size=3), 40, 32)
    x = net.op("Flatten", net.op("GlobalLpPool", x))
    return head(net, net.dense(net.op("LpNormalization", x, axis=-1), 32, 48), 48)


def convolution_over_channels() -> Exported:
    """ECA and CBAM: a convolution along the channels, and one over their mean and maximum."""
    net = Net()
    x = net.conv(net.conv(net.input("x", ["N", 3, 12, 12]), 3, 24), 24, 32)
    pooled = net.op("Squeeze", net.op("GlobalAveragePool", x), net.ints(3))
    row = net.op("Conv", net.op("Transpose", pooled, perm=[0, 2, 1]), net.weight(1, 1, 3, fan=3),
                 pads=[1, 1])  # fmt: skip
    gate = net.op("Sigmoid", net.op("Unsqueeze", net.op("Transpose", row, perm=[0, 2, 1]),
                  net.ints(3)))  # fmt: skip
    x = net.op("Mul", x, gate)
    x = net.conv(x, 32, 40)
    seen = [net.op(kind, x, net.ints(1), keepdims=1) for kind in ("ReduceMean", "ReduceMax")]
    mask = net.conv(net.op("Concat", *seen, axis=1), 2, 1, 7, "Sigmoid")
    return image_head(net, net.op("Mul", x, mask), 40)


def primitive_norms() -> Exported:
    """Layer, group and RMS normalisation in single steps, weight standardisation, L2 features."""
    net = Net()
    raw = net.weight(32, 3, 3, 3, fan=27)
    centred = net.op("Sub", raw, net.op("ReduceMean", raw, net.ints(1, 2, 3), keepdims=1))
    spread = net.op("ReduceL2", centred, net.ints(1, 2, 3), keepdims=1)
    x = net.op("Conv", net.input("x", ["N", 3, 12, 12]), net.op("Div", centred, spread),
               pads=[1] * 4)  # fmt: skip
    grouped = net.op("Reshape", x, net.ints(0, 4, -1))
    normed = net.op("InstanceNormalization", grouped, net.constant(np.ones(4)),
                    net.constant(np.zeros(4)))  # fmt: skip
    x = net.op("Reshape", normed, net.op("Shape", x))
    x = net.op("Mul", x, net.constant(net.rng.uniform(0.5, 1.5, (32, 1, 1))))
    x = net.op("Flatten", net.op("GlobalMaxPool", net.conv(net.op("Relu", x), 32, 48)))
    x = net.dense(x, 48, 64, None)
    away = net.op("Sub", x, net.op("ReduceMean", x, net.ints(-1)))
    square = net.op("ReduceMean", net.op("Pow", away, net.constant(np.array(2.0))), net.ints(-1))
    x = net.op("Div", away, net.op("Sqrt", net.op("Add", square, net.constant(np.array(1e-5)))))
    x = net.dense(net.op("Mul", x, net.vector(64, 0.5, 1.5)), 64, 56, None)
    square = net.op("ReduceMean", net.op("Mul", x, x), net.ints(-1))
    x = net.op("Mul", x, net.op("Reciprocal", net.op("Sqrt", square)))
    x = net.dense(x, 56, 40)
    length = net.op("Clip", net.op("ReduceL2", x, net.ints(-1)), net.constant(np.array(1e-6)))
    return head(net, net.op("Div", x, length), 40)


def relative_attention() -> Exported:
    """Swin: windows, a gathered table of relative positions, a mask by Where, a rolled image."""
    net = Net()
    x = net.input("x", [1, 3, 16, 16])
    x = net.op("Conv", x, net.weight(32, 3, 2, 2, fan=12), strides=[2, 2])
    x = net.op("Transpose", x, perm=[0, 2, 3, 1])
    top = net.op("Slice", x, net.ints(2), net.ints(8), net.ints(1))
    bottom = net.op("Slice", x, net.ints(0), net.ints(2), net.ints(1))
    y = net.norm(net.op("Concat", top, bottom, axis=1), 32)
    y = net.op("Reshape", y, net.ints(1, 2, 4, 2, 4, 32))
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.ints(4, 16, 32))
    qkv = net.op("Reshape", net.dense(y, 32, 96, None), net.ints(4, 16, 3, 4, 8))
    qkv = net.op("Transpose", qkv, perm=[2, 0, 3, 1, 4])
    q, k, v = (net.op("Gather", qkv, net.constant(np.array(s)), axis=0) for s in range(3))
    scores = net.op("MatMul", q, net.op("Transpose", k, perm=[0, 1, 3, 2]))
    index = net.constant(np.random.default_rng(3).integers(0, 49, 256))
    bias = net.op("Gather", net.weight(49, 4, fan=2), index, axis=0)
    bias = net.op("Transpose", net.op("Reshape", bias, net.ints(16, 16, 4)), perm=[2, 0, 1])
    scores = net.op("Add", scores, net.op("Unsqueeze", bias, net.ints(0)))
    allowed = net.constant(np.tril(np.ones((16, 16), bool)))
    scores = net.op("Where", allowed, scores, net.constant(np.array(-1e9)))
    y = net.op("MatMul", net.op("Softmax", scores, axis=-1), v)
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 2, 1, 3]), net.ints(1, 2, 2, 4, 4, 32))
    y = net.op("Reshape", net.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.ints(1, 8, 8, 32))
    x = net.op("Add", x, net.dense(y, 32, 32, None))
    x = net.op("Add", x, net.dense(net.op("Gelu", net.dense(x, 32, 96, None)), 96, 32, None))
    return head(net, net.op("ReduceMean", x, net.ints(1, 2), keepdims=0), 32)


def deformable() -> Exported:
    """DeformConv with predicted offsets and masks, RoiAlign on its features."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 12, 12]), 3, 24)
    offset, mask = net.conv(x, 24, 18, act="Tanh"), net.conv(x, 24, 9, act="Sigmoid")
    x = net.op("DeformConv", x, net.weight(32, 24, 3, 3, fan=216), offset, net.vector(32), mask,
               pads=[1] * 4, kernel_shape=[3, 3])  # fmt: skip
    boxes = net.constant(np.array([[0, 0, 8, 8], [2, 2, 11, 11]], np.float32))
    x = net.op(
        "RoiAlign", net.op("Relu", x), boxes, net.ints(0, 0), output_height=3, output_width=3
    )
    return head(net, net.dense(net.op("Flatten", x), 288, 40), 40)


def unfolded() -> Exported:
    """Col2Im after a product over patches, MaxUnpool with the indices of MaxPool."""
    net = Net()
    x = net.conv(net.input("x", [1, 3, 8, 8]), 3, 24)
    y, index = net.ops("MaxPool", 2, x, kernel_shape=[2, 2], strides=[2, 2])
    y = net.op("MaxUnpool", y, index, kernel_shape=[2, 2], strides=[2, 2])
    x = net.conv(net.op("Add", x, y), 24, 32)
    rows = net.op("Transpose", net.op("Reshape", x, net.ints(1, 32, 64)), perm=[0, 2, 1])
    patches = net.op("Transpose", net.dense(rows, 32, 4 * 16, "Tanh"), perm=[0, 2, 1])
    x = net.op("Col2Im", patches, net.ints(16, 16), net.ints(2, 2), strides=[2, 2])
    return image_head(net, net.conv(x, 16, 24), 24)


SAMPLES: Samples = {
    "recurrent_with_extras": (recurrent_with_extras, 0.67),
    "rearranging": (rearranging, 0.72),
    "einsum_attention": (einsum_attention, 0.49),
    "mixture_of_experts": (mixture_of_experts, 0.73),
    "normalisations": (normalisations, 0.58),
    "convolution_over_channels": (convolution_over_channels, 0.47),
    "primitive_norms": (primitive_norms, 0.71),
    "relative_attention": (relative_attention, 0.7),
    "deformable": (deformable, 0.60),
    "unfolded": (unfolded, 0.62),
}
