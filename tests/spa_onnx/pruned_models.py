"""Prune a model half at random and look at what came out."""

from pathlib import Path
from typing import Any

import onnx
from onnx import helper, numpy_helper

import spa_onnx
from tests.builders import GraphBuilder
from tests.graph_writer import AnyArray


def half(
    model: onnx.ModelProto, ratio: float = 0.5, seed: int = 0, **facts: Any
) -> onnx.ModelProto:
    """Return the model without a random half of its lanes; the library proves it."""
    return half_result(model, ratio, seed, **facts).model


def half_result(
    model: onnx.ModelProto, ratio: float = 0.5, seed: int = 0, **facts: Any
) -> spa_onnx.PruneResult:
    """Return the whole result of ``half``."""
    config = spa_onnx.PruneConfig(
        budget=spa_onnx.Ratio(ratio), importance="random", seed=seed, **facts
    )
    return spa_onnx.prune(model, config)


def prune_at_random(
    model: onnx.ModelProto | Path, ratio: float = 0.5, seed: int = 0, **facts: Any
) -> spa_onnx.PruneResult:
    """Prune a model or file at random; ``facts`` go to ``spa_onnx.prune``."""
    config = spa_onnx.PruneConfig(spa_onnx.Ratio(ratio), importance="random", seed=seed)
    return spa_onnx.prune(model, config, **facts)


def layers(*weights: tuple[int, ...]) -> onnx.ModelProto:
    """Return two convolutions with products of these weights in between."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    for shape in weights:
        x = g.mul(x, g.weight(*shape, fan_in=1))
    return g.model(g.conv(x, 3))


def node(model: onnx.ModelProto, op: str, index: int = 0) -> onnx.NodeProto:
    """Return a node by operator and its place among those of the operator."""
    found: list[onnx.NodeProto] = [n for n in model.graph.node if n.op_type == op]
    return found[index]


def attribute(model: onnx.ModelProto, op: str, name: str, index: int = 0) -> Any:
    """Return an attribute's value, None if it is absent."""
    found = {a.name: a for a in node(model, op, index).attribute}
    return helper.get_attribute_value(found[name]) if name in found else None


def operand(model: onnx.ModelProto, op: str, position: int, index: int = 0) -> AnyArray:
    """Return the constant value of a node's input."""
    name = node(model, op, index).input[position]
    return next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)


def shape(model: onnx.ModelProto, op: str, position: int = 1, index: int = 0) -> tuple[int, ...]:
    """Return the shape of a node's constant input."""
    return tuple(operand(model, op, position, index).shape)


def widths(model: onnx.ModelProto, **facts: Any) -> list[int]:
    """Return how many lanes each prunable dim has, in ascending order."""
    return sorted(d.dim.size for d in spa_onnx.analyze(model, **facts).dims)


def reasons(model: onnx.ModelProto, tensor: str, axis: int) -> str:
    """Return why a weight axis is fixed."""
    fixed = spa_onnx.analyze(model).fixed
    return "; ".join(
        str(reason) for f in fixed if (f.tensor, f.axis) == (tensor, axis) for reason in f.reasons
    )
