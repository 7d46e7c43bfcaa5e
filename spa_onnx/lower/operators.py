"""The nodes of domain ``ai.spa``, and the standard nodes that compute the same.

x ─ SparseConv ─ y     is     x ─ Conv ─ Add ─ Relu ─ y
     residual ┘                   residual ┘
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from spa_onnx.lower.activations import Activation
from spa_onnx.lower.layer import Layer, Window
from spa_onnx.lower.view import DOMAIN
from spa_onnx.runtime.packed_kinds import ValueType

SPARSE_LINEAR, SPARSE_CONV = "SparseLinear", "SparseConv"
OPERATORS = (SPARSE_LINEAR, SPARSE_CONV)

GREATEST = float(np.finfo(np.float32).max)

Constant = Callable[[str, NDArray[Any]], str]
"""Stores an array under a name like the one given, and returns the name that it got."""


def lowered_node(
    layer: Layer, weight: str, bias: str, *, name: str, tile: int = 0, engine: str = ""
) -> onnx.NodeProto:
    """Return the operator that does a layer with a stored weight.

    Args:
        layer: the layer.
        weight: name of the packed weight.
        bias: name of what is added; "" for nothing.
        name: of the node.
        tile: hint to kernels; 0 for none.
        engine: another library that is to do it, if it is there; "" for our kernels.
    """
    inputs = [layer.x, weight, bias, layer.residual]
    while not inputs[-1]:
        inputs.pop()
    op = SPARSE_LINEAR if layer.kind == "linear" else SPARSE_CONV
    node = helper.make_node(op, inputs, [layer.y], name=name, domain=DOMAIN)
    for key, value in _attributes(layer, tile, engine):
        node.attribute.append(helper.make_attribute(key, value))
    return node


def _attributes(layer: Layer, tile: int, engine: str) -> Iterator[tuple[str, Any]]:
    if layer.kind == "linear":
        yield "out_features", layer.shape[0]
    if layer.window is not None:
        yield "out_channels", layer.shape[0]
        yield "kernel_shape", list(layer.window.kernel)
        yield "strides", list(layer.window.strides)
        yield "pads", list(layer.window.pads)
        yield "dilations", list(layer.window.dilations)
        if layer.window.group > 1:
            yield GROUP, layer.window.group
    yield "activation", layer.activation.name
    if layer.activation.name == "clip":
        yield "clip_min", max(layer.activation.low, -GREATEST)
        yield "clip_max", min(layer.activation.high, GREATEST)
    if tile:
        yield "tile", tile
    if engine:
        yield "engine", engine


GROUP = "group"
"""Kernels do not need it: columns of other groups are zeros. It is there for the way back."""


def window_of(node: onnx.NodeProto) -> Window:
    """Return how a lowered convolution moves."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}

    def pair(name: str, default: Sequence[int]) -> tuple[int, int]:
        first, second = given.get(name, default)
        return int(first), int(second)

    top, left, bottom, right = given.get("pads", (0, 0, 0, 0))
    return Window(
        pair("kernel_shape", (1, 1)),
        pair("strides", (1, 1)),
        (int(top), int(left), int(bottom), int(right)),
        pair("dilations", (1, 1)),
        int(given.get(GROUP, 1)),
    )


def activation_of(node: onnx.NodeProto) -> Activation:
    """Return what a lowered node applies last."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    name = given.get("activation", b"none").decode()
    if name != "clip":
        return Activation(name)
    low, high = given.get("clip_min", -GREATEST), given.get("clip_max", GREATEST)
    return Activation(
        "clip", low if low > -GREATEST else -math.inf, high if high < GREATEST else math.inf
    )


def standard_nodes(
    node: onnx.NodeProto,
    weight: str,
    group: int,
    opset: int,
    constant: Constant,
    values: ValueType = ValueType.FLOAT32,
) -> list[onnx.NodeProto]:
    """Return standard nodes that do what a lowered one does.

    Args:
        node: of domain ``ai.spa``.
        weight: the name of its dense weight: ``(inputs, outputs)`` of a linear one, else as Conv
            has it.
        group: of a convolution.
        opset: of the standard operators.
        constant: stores scalars.
        values: type of the tensors.
    """
    inputs = [*node.input, "", ""][:4]
    x, _, bias, residual = inputs
    y, made = node.output[0], list[onnx.NodeProto]()
    activation = activation_of(node)
    ways: list[tuple[str, list[str], dict[str, Any]]] = []
    if node.op_type == SPARSE_LINEAR:
        ways.append(("MatMul", [weight], {}))
        ways += [("Add", [bias], {})] if bias else []
    else:
        window = window_of(node)
        attributes: dict[str, Any] = {
            "kernel_shape": window.kernel,
            "strides": window.strides,
            "pads": window.pads,
            "dilations": window.dilations,
            "group": group,
        }
        ways.append(("Conv", [weight, bias] if bias else [weight], attributes))
    ways += [("Add", [residual], {})] if residual else []
    for k, (op, others, attributes) in enumerate(ways):
        is_last = k == len(ways) - 1 and activation.name == "none"
        result = y if is_last else f"{y}/{op.lower()}{k}"
        name = f"{node.name or y}/{op.lower()}{k}"
        made.append(helper.make_node(op, [x, *others], [result], name=name, **attributes))
        x = result
    return made + _spelled(activation, x, y, opset, constant, values)


def _spelled(
    activation: Activation, x: str, y: str, opset: int, constant: Constant, values: ValueType
) -> list[onnx.NodeProto]:
    """Return an activation in operators that the opset has."""

    def number(value: float) -> str:
        return constant(f"{y}/number", np.array(value, values.dtype))

    is_new = opset >= (HARD_SWISH_OF_BFLOAT16 if values == ValueType.BFLOAT16 else 14)
    gate = f"{y}/gate"
    match activation.name:
        case "none":
            return []
        case "relu":
            return [_node("Relu", [x], y)]
        case "clip":
            return [_clip(activation, x, y, opset, number)]
        case "silu":
            return [_node("Sigmoid", [x], gate), _node("Mul", [x, gate], y)]
        case "hard_swish" if is_new:
            return [_node("HardSwish", [x], y)]
        case "hard_swish" if values == ValueType.BFLOAT16:
            return _hard_swish(x, y, number)
        case "hard_swish":
            made = _node("HardSigmoid", [x], gate, alpha=1 / 6, beta=0.5)
            return [made, _node("Mul", [x, gate], y)]
        case "gelu" | "gelu_tanh" if opset >= 20:
            approximate = "tanh" if activation.name == "gelu_tanh" else "none"
            return [_node("Gelu", [x], y, approximate=approximate)]
        case "gelu" | "gelu_tanh":
            return _gelu(x, y, number, by_tanh=activation.name == "gelu_tanh")


def _node(op: str, inputs: Sequence[str], result: str, **attributes: Any) -> onnx.NodeProto:
    name = f"{result}/{op.lower()}"
    return helper.make_node(op, list(inputs), [result], name=name, **attributes)


HARD_SWISH_OF_BFLOAT16 = 22
"""Opset from which on HardSwish and HardSigmoid know bfloat16."""


def _hard_swish(x: str, y: str, number: Callable[[float], str]) -> list[onnx.NodeProto]:
    """Return HardSwish in operators that have long known bfloat16."""
    return [
        _node("Add", [x, number(3)], f"{y}/sum"),
        _node("Clip", [f"{y}/sum", number(0), number(6)], f"{y}/clipped"),
        _node("Mul", [x, f"{y}/clipped"], f"{y}/product"),
        _node("Div", [f"{y}/product", number(6)], y),
    ]


def _gelu(x: str, y: str, number: Callable[[float], str], *, by_tanh: bool) -> list[onnx.NodeProto]:
    """Return GELU in operators that older opsets have."""
    scaled, bent = f"{y}/scaled", f"{y}/bent"
    if by_tanh:
        inner = [
            _node("Pow", [x, number(3)], f"{y}/cube"),
            _node("Mul", [f"{y}/cube", number(0.044715)], f"{y}/part"),
            _node("Add", [x, f"{y}/part"], f"{y}/sum"),
            _node("Mul", [f"{y}/sum", number(math.sqrt(2 / math.pi))], scaled),
            _node("Tanh", [scaled], bent),
        ]
    else:
        inner = [_node("Div", [x, number(math.sqrt(2))], scaled), _node("Erf", [scaled], bent)]
    return [
        *inner,
        _node("Add", [bent, number(1)], f"{y}/gate"),
        _node("Mul", [x, f"{y}/gate"], f"{y}/double"),
        _node("Mul", [f"{y}/double", number(0.5)], y),
    ]


def _clip(
    activation: Activation, x: str, y: str, opset: int, number: Callable[[float], str]
) -> onnx.NodeProto:
    low, high = activation.low, activation.high
    if opset < 11:
        limits: dict[str, Any] = {"min": max(low, -GREATEST), "max": min(high, GREATEST)}
        return helper.make_node("Clip", [x], [y], name=f"{y}/clip", **limits)
    inputs = [x, number(low) if low > -math.inf else ""]
    inputs += [number(high)] if high < math.inf else []
    return helper.make_node("Clip", inputs, [y], name=f"{y}/clip")
