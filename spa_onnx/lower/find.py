"""Find the products of a model that kernels for packed weights can do, and why others stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx

from spa_onnx.graph.node import Node
from spa_onnx.lower.config import Target
from spa_onnx.lower.follow import follow
from spa_onnx.lower.layer import Layer, Refusal, Step, WeightSource
from spa_onnx.lower.view import View
from spa_onnx.lower.window import NoWindowError, check_point, read_window
from spa_onnx.runtime.packed_kinds import HALVES, ValueType

PRODUCTS = frozenset({"MatMul", "Gemm", "Conv"})

OTHERS: Mapping[str, str] = {
    "com.microsoft::FusedConv": "ONNX Runtime fused it; lower the model from before that",
    "com.microsoft::FusedGemm": "ONNX Runtime fused it; lower the model from before that",
    "com.microsoft::FusedMatMul": "ONNX Runtime fused it; lower the model from before that",
    "com.microsoft::Attention": "ONNX Runtime fused it; lower the model from before that",
    "com.microsoft::MatMulNBits": "its weight is quantised",
    "ConvInteger": "its weight is quantised",
    "MatMulInteger": "its weight is quantised",
    "QLinearConv": "its weight is quantised",
    "QLinearMatMul": "its weight is quantised",
    "ConvTranspose": "there is no kernel for transposed convolutions",
    "Einsum": "there is no kernel for it",
    "LSTM": "there is no kernel for it",
    "GRU": "there is no kernel for it",
    "RNN": "there is no kernel for it",
}
"""Other operators with weights, and why they stay."""


@dataclass(frozen=True, slots=True)
class Found:
    """The products of a model.

    Attributes:
        layers: what can be lowered, whatever its weights are; depthwise convolutions among them.
        refusals: what cannot.
    """

    layers: tuple[Layer, ...]
    refusals: tuple[Refusal, ...]


class NotLoweredError(Exception):
    """A product that stays dense; carries the reason."""


COMPUTED: Mapping[Target, tuple[ValueType, ...]] = {"cpu": (ValueType.FLOAT32,), "cuda": HALVES}
"""Types that kernels compute in."""


def find_layers(view: View, target: Target = "cpu") -> Found:
    """Return the products of a graph with what follows them."""
    layers: list[Layer] = []
    refusals: list[Refusal] = []
    taken: set[int] = set()
    for node in view.nodes.values():
        if node.op in PRODUCTS:
            try:
                layer = _layer(view, node, target)
            except (NotLoweredError, NoWindowError) as reason:
                if _has_weight(view, node):
                    refusals.append(Refusal(node.label, str(reason)))
                continue
            layer = follow(view, layer, taken)
            taken.update(layer.nodes)
            layers.append(layer)
        elif node.op in OTHERS:
            refusals.append(Refusal(node.label, OTHERS[node.op]))
    refusals += [
        Refusal(node.label, "it is inside control flow")
        for node in view.inner
        if node.op in PRODUCTS and _has_weight(view, node)
    ]
    return Found(tuple(layers), tuple(refusals))


def _has_weight(view: View, node: Node) -> bool:
    """Say whether a product has a weight, stored or computed from stored ones."""
    return any(view.state.is_weight(name) for name in node.inputs[:2])


def _layer(view: View, node: Node, target: Target) -> Layer:
    """Return the layer of a product alone.

    Raises:
        NotLoweredError: there is no kernel for it.
        NoWindowError: it is a convolution without one.
    """
    if node.op != "Conv" and view.is_constant(node.inputs[0]):
        raise NotLoweredError("its weight is on the left")
    weight = node.inputs[1]
    if not view.is_constant(weight):
        raise NotLoweredError(_not_stored(view, weight))
    values = view.values(weight)
    if values not in COMPUTED[target] or view.values(node.inputs[0]) != values:
        raise NotLoweredError(_other_type(view.element(weight), target))
    if min(view.dims(weight), default=0) < 1:
        raise NotLoweredError("its weight is empty")
    layer = _product(view, node)
    if target == "cuda" and layer.window is not None:
        check_point(layer.window)
    return replace(layer, values=values)


def _product(view: View, node: Node) -> Layer:
    if node.op == "Conv":
        return _conv(view, node)
    return _gemm(view, node) if node.op == "Gemm" else _matmul(view, node)


def _other_type(element: int, target: Target) -> str:
    kind = onnx.TensorProto.DataType.Name(element).lower()
    if target == "cpu":
        return f"its weight is {kind}, kernels compute in float32"
    if element == onnx.TensorProto.FLOAT:
        return FLOAT32
    return f"its weight is {kind}, kernels for CUDA compute in float16 and bfloat16"


FLOAT32 = (
    "its weight is float32, kernels for CUDA compute in float16 and bfloat16; "
    "--precision float16 converts it"
)


def is_refused_for_float32(refusal: Refusal) -> bool:
    """Say whether a product could be lowered for CUDA in another type."""
    return refusal.reason == FLOAT32


def _not_stored(view: View, weight: str) -> str:
    if weight in view.fed:
        return "its weight can be fed as an input"
    maker = view.nodes.get(view.makers.get(weight, -1))
    if maker is not None and view.state.is_weight(weight):
        quantised = maker.op == "DequantizeLinear"
        return "its weight is quantised" if quantised else f"its weight is made by {maker.label}"
    return "both factors are computed"


def _matmul(view: View, node: Node) -> Layer:
    dims = view.dims(node.inputs[1])
    if len(dims) != 2:
        raise NotLoweredError(f"its weight has {len(dims)} axes, not 2")
    sizes = view.sizes(node.inputs[0])
    if sizes is None or len(sizes) < 2:
        raise NotLoweredError("the rank of its input is unknown or below 2")
    x, y = node.inputs[0], node.outputs[0]
    source = WeightSource(node.inputs[1], is_transposed=True)
    return Layer("linear", node.label, (node.index,), x, y, (dims[1], dims[0]), source)


def _gemm(view: View, node: Node) -> Layer:
    if node.integer("transA", 0):
        raise NotLoweredError("its input is transposed")
    dims = view.dims(node.inputs[1])
    transposed = not node.integer("transB", 0)
    shape = (dims[1], dims[0]) if transposed else (dims[0], dims[1])
    factor = float(node.attributes.get("alpha", 1.0))
    source = WeightSource(node.inputs[1], transposed, factor)
    x, y = node.inputs[0], node.outputs[0]
    layer = Layer("linear", node.label, (node.index,), x, y, shape, source)
    if len(node.inputs) < 3 or not node.inputs[2]:
        return layer
    bias = node.inputs[2]
    if not view.is_constant(bias) or view.dims(bias) not in (
        (),
        (1,),
        (1, 1),
        (shape[0],),
        (1, shape[0]),
    ):
        raise NotLoweredError("its bias is no stored vector")
    steps = (Step("add", (bias,), float(node.attributes.get("beta", 1.0))),)
    return Layer("linear", node.label, (node.index,), x, y, shape, source, steps=steps)


def _conv(view: View, node: Node) -> Layer:
    dims = view.dims(node.inputs[1])
    window = read_window(view, node, dims)
    steps: tuple[Step, ...] = ()
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = node.inputs[2]
        if not view.is_constant(bias) or view.dims(bias) != dims[:1]:
            raise NotLoweredError("its bias is no stored vector")
        steps = (Step("add", (bias,)),)
    taps = window.kernel[0] * window.kernel[1]
    depthwise = dims[1] == 1 and window.group == dims[0] and window.group > 1
    if dims[0] % window.group:
        raise NotLoweredError("its groups do not divide its channels")
    if dims[1] == 1 and window.group > 1 and not depthwise:
        raise NotLoweredError("it is depthwise with several outputs a channel")
    shape = (dims[0], taps) if depthwise else (dims[0], dims[1] * window.group * taps)
    return Layer(
        "depthwise" if depthwise else "conv",
        node.label,
        (node.index,),
        node.inputs[0],
        node.outputs[0],
        shape,
        WeightSource(node.inputs[1], group=window.group),
        window,
        steps,
    )
