"""Functions, shared and computed weights, other types, several inputs and outputs."""

from functools import partial

import numpy as np
import onnx
from model_files import Exported
from onnx import helper

from handwritten.control_flow import branches
from handwritten.net import FLOAT, INT64, Net, Samples, head


def function_net() -> tuple[Net, str]:
    """Return a net with two local functions, one inside the other."""
    net = Net()
    net.domains["local"] = 1
    opsets = [helper.make_opsetid("", net.opset), helper.make_opsetid("local", 1)]
    linear = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("LeakyRelu", ["s"], ["y"]),
    ]
    alpha = onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    linear[-1].attribute.append(alpha)
    block = [
        helper.make_node("Linear", ["x", "w", "b"], ["h"], domain="local", slope=0.1),
        helper.make_node("Linear", ["h", "v", "c"], ["z"], domain="local", slope=0.3),
        helper.make_node("Add", ["x", "z"], ["y"]),
    ]
    net.functions += [
        helper.make_function(
            "local", "Linear", ["x", "w", "b"], ["y"], linear, opsets, attributes=["slope"]
        ),
        helper.make_function("local", "Block", ["x", "w", "b", "v", "c"], ["y"], block, opsets),
    ]
    return net, net.dense(net.input("x", ["N", 32]), 32, 48)


def local_functions() -> Exported:
    """A residual block as a function that calls another; weights are its arguments."""
    net, x = function_net()
    for _ in range(2):
        weights = [net.weight(48, 64), net.vector(64), net.weight(64, 48), net.vector(48)]
        x = net.op("Block", x, *weights, domain="local")
    return head(net, x, 48)


def functions_in_branches() -> Exported:
    """A local function called in both branches of an If."""
    net, x = function_net()
    weights = [net.weight(48, 64), net.vector(64), net.weight(64, 48), net.vector(48)]

    def make(body: Net, x: str, k: int) -> str:
        y = body.op("Block", x, *weights, domain="local")
        return body.op("Relu", y) if k else body.op("Tanh", y)

    return head(net, branches(net, x, make, ["N", 48]), 48)


def tied_embedding(gemm: bool) -> Exported:
    """A language model whose output projection is its embedding table."""
    net = Net()
    words = net.input("words", ["N", 8], INT64)
    table = net.weight(60, 32, fan=4)
    x = net.op("Gather", table, words)
    hidden = net.dense(net.norm(x, 32), 32, 96)
    x = net.norm(net.op("Add", x, net.dense(hidden, 96, 32, None)), 32)
    if gemm:
        flat = net.op("Reshape", x, net.ints(-1, 32))
        y = net.op("Reshape", net.op("Gemm", flat, table, transB=1), net.ints(-1, 8, 60))
    else:
        y = net.op("MatMul", x, net.op("Transpose", table, perm=[1, 0]))
    net.output(y, ["N", 8, 60])
    return net.exported()


def inputs_and_outputs() -> Exported:
    """An image, features and words; logits, an embedding, a mask and a passed input come out."""
    net = Net()
    image, features = net.input("image", ["N", 3, 16, 16]), net.input("features", ["N", 20])
    words = net.input("words", ["N", 6], INT64)
    x = net.conv(image, 3, 24)
    mask = net.conv(x, 24, 1, 1, "Sigmoid")
    x = net.op("Mul", x, mask)
    pooled = net.op("Flatten", net.op("GlobalMaxPool", net.conv(x, 24, 40, stride=2)))
    y = net.dense(features, 20, 40)
    text = net.op("ReduceMean", net.op("Gather", net.weight(50, 40, fan=2), words), net.ints(1),
                  keepdims=0)  # fmt: skip
    both = net.op("Concat", net.op("Add", net.op("Mul", pooled, y), text), y, axis=1)
    embedding = net.dense(both, 80, 32, "Tanh")
    net.output(mask, ["N", 1, 16, 16])
    net.output(embedding, ["N", 32])
    net.output(net.op("Identity", features), ["N", 20])
    return head(net, net.dense(embedding, 32, 48), 48)


def computed_weights() -> Exported:
    """Weights that the graph computes from constants, in the ways exporters leave behind."""
    net = Net()
    x = net.input("x", ["N", 32])
    weight = net.op("Mul", net.weight(32, 48), net.op("Sigmoid", net.weight(32, 48)))
    x = net.op("Relu", net.op("MatMul", x, weight))
    direction, gain = net.weight(48, 64), net.vector(64, 0.5, 1.5)  # weight normalisation
    length = net.op("Sqrt", net.op("ReduceSumSquare", direction, net.ints(0), keepdims=1))
    weight = net.op("Mul", net.op("Div", direction, length), gain)
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Concat", net.weight(64, 16), net.weight(64, 24), axis=1)
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Transpose", net.op("Reshape", net.weight(56 * 40), net.ints(56, 40)),
                    perm=[1, 0])  # fmt: skip
    x = net.op("Relu", net.op("MatMul", x, weight))
    weight = net.op("Slice", net.weight(56, 72), net.ints(10), net.ints(58), net.ints(1))
    x = net.op("Relu", net.op("MatMul", x, weight))
    low = net.op("MatMul", net.weight(48, 8), net.weight(8, 40))  # low-rank update
    weight = net.op("Add", net.weight(48, 40), low)
    return head(net, net.op("Relu", net.op("MatMul", x, weight)), 40)


def constant_nodes() -> Exported:
    """Weights in Constant nodes, and one filled by ConstantOfShape."""
    net = Net()
    x = net.input("x", ["N", 32])
    for inputs, outputs in ((32, 48), (48, 64)):
        value = net.rng.standard_normal((inputs, outputs)).astype(np.float32) / 6
        weight = net.op("Constant", value=onnx.numpy_helper.from_array(value))
        half = onnx.numpy_helper.from_array(np.array([0.5], np.float32))
        bias = net.op("ConstantOfShape", net.ints(outputs), value=half)
        x = net.op("Relu", net.op("Add", net.op("MatMul", x, weight), bias))
    return head(net, x, 64)


def half_cnn() -> Exported:
    """A residual CNN in float16."""
    net = Net(dtype=np.float16)
    x = net.conv(net.input("x", ["N", 3, 16, 16], onnx.TensorProto.FLOAT16), 3, 24)
    x = net.op("Relu", net.op("Add", x, net.conv(net.conv(x, 24, 32), 32, 24, act=None)))
    pooled = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.output(net.dense(pooled, 24, 5, None), ["N", 5], onnx.TensorProto.FLOAT16)
    return net.exported()


def bfloat_mlp() -> Exported:
    """Weights in bfloat16, cast to float32 in front of each product."""
    net = Net()
    x = net.input("x", ["N", 32])
    for inputs, outputs in ((32, 48), (48, 64), (64, 5)):
        value = net.rng.standard_normal((inputs, outputs)).astype(np.float32) / 6
        tensor = helper.make_tensor(
            net.name("b"), onnx.TensorProto.BFLOAT16, value.shape, value.ravel()
        )
        net.weights.append(tensor)
        x = net.op("MatMul", x, net.op("Cast", tensor.name, to=FLOAT))
        x = net.op("Tanh", x) if outputs != 5 else x
    net.output(x, ["N", 5])
    return net.exported()


def double_mlp() -> Exported:
    """An MLP in float64."""
    net = Net(dtype=np.float64)
    x = net.input("x", ["N", 32], onnx.TensorProto.DOUBLE)
    for inputs, outputs in ((32, 48), (48, 64)):
        value = net.rng.standard_normal((inputs, outputs)) / 6
        x = net.op("Tanh", net.op("MatMul", x, net.constant(value)))
    value = net.rng.standard_normal((64, 5)) / 8
    net.output(net.op("MatMul", x, net.constant(value)), ["N", 5], onnx.TensorProto.DOUBLE)
    return net.exported()


def shared_weights() -> Exported:
    """A siamese network: both inputs go through the same weights; their difference is scored."""
    net = Net()
    kernel, bias = net.weight(24, 3, 3, 3, fan=27), net.vector(24)
    matrix = net.weight(24, 40)
    sides = []
    for name in ("left", "right"):
        x = net.input(name, ["N", 3, 12, 12])
        x = net.op("Relu", net.op("Conv", x, kernel, bias, pads=[1] * 4))
        x = net.op("Flatten", net.op("GlobalAveragePool", x))
        sides.append(net.op("Tanh", net.op("MatMul", x, matrix)))
    distance = net.op("Abs", net.op("Sub", *sides))
    similar = net.op("Mul", *sides)
    return head(net, net.op("Concat", distance, similar, axis=1), 80)


def weights_from_input() -> Exported:
    """A hyper network: a projection of one input is the weight of another's product."""
    net = Net()
    x, condition = net.dense(net.input("x", [4, 32]), 32, 48), net.input("condition", [1, 12])
    made = net.dense(net.dense(condition, 12, 40), 40, 48 * 16, "Tanh")
    matrix = net.op("Reshape", made, net.ints(48, 16))
    return head(net, net.op("MatMul", x, matrix), 16)


def passed_outputs() -> Exported:
    """Inner features are outputs too, one of them twice, and one output is a stored tensor."""
    net = Net()
    x = net.dense(net.input("x", ["N", 32]), 32, 48)
    y = net.dense(x, 48, 64)
    net.output(x, ["N", 48])
    net.output(net.op("Identity", y), ["N", 64])
    stored = net.vector(7)
    net.output(stored, [7])
    z = net.dense(net.dense(y, 64, 56), 56, 40)
    net.output(net.op("Shape", z), [2], INT64)
    return head(net, z, 40)


def old_opset() -> Exported:
    """Opset 8: Upsample by attribute, Dropout, BatchNormalization, Gemm with a full matrix as C."""
    net = Net(opset=8)
    x = net.conv(net.input("x", [2, 3, 8, 8]), 3, 24, act=None)
    statistics = [net.vector(24, 0.5, 1.5), net.vector(24), net.vector(24), net.vector(24)]
    x = net.op("Relu", net.op("BatchNormalization", x, *statistics))
    x = net.op("Upsample", x, scales=[1.0, 1.0, 1.0, 1.0], mode="nearest")
    x = net.op("Dropout", net.conv(x, 24, 32, stride=2))
    x = net.op("Reshape", x, net.ints(2, 512))
    x = net.op("Gemm", x, net.weight(512, 48), net.weight(2, 48), alpha=0.5, beta=2.0)
    x = net.op("Relu", x)
    x = net.op("Gemm", x, net.weight(40, 48, fan=48), net.vector(1), transB=1)
    net.output(net.op("Gemm", net.op("Tanh", x), net.weight(40, 5), net.vector(5)), [2, 5])
    return net.exported()


SAMPLES: Samples = {
    "local_functions": (local_functions, 0.69),
    "functions_in_branches": (functions_in_branches, 0.69),
    "tied_embedding": (partial(tied_embedding, False), 0.67),
    "tied_embedding_gemm": (partial(tied_embedding, True), 0.67),
    "inputs_and_outputs": (inputs_and_outputs, 0.66),
    "computed_weights": (computed_weights, 0.67),
    "constant_nodes": (constant_nodes, 0.63),
    "half_cnn": (half_cnn, 0.71),
    "bfloat_mlp": (bfloat_mlp, 0.63),
    "double_mlp": (double_mlp, 0.63),
    "shared_weights": (shared_weights, 0.48),
    "weights_from_input": (weights_from_input, 0.66),
    "passed_outputs": (passed_outputs, 0.25),
    "old_opset": (old_opset, 0.67),
}
