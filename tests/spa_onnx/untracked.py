"""What the graph builder cannot track: operators that ONNX has no shape inference for."""

from collections.abc import Sequence

import onnx
from onnx import helper

from tests.builders import GraphBuilder


def like(g: GraphBuilder, y: str, x: str) -> str:
    """Tell the builder that ``y`` has the type and shape of ``x``."""
    return typed(g, y, type_of(g, x))


def shaped(g: GraphBuilder, y: str, shape: Sequence[int | str]) -> str:
    """Tell the builder that ``y`` holds floats of this shape."""
    return typed(g, y, helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, shape))


def typed(g: GraphBuilder, y: str, kind: onnx.TypeProto) -> str:
    """Tell the builder the type of ``y``."""
    g._types[y] = kind  # pyright: ignore[reportPrivateUsage]
    return y


def type_of(g: GraphBuilder, x: str) -> onnx.TypeProto:
    """Return the tracked type of a tensor."""
    return g._types[x]  # pyright: ignore[reportPrivateUsage]


def append(g: GraphBuilder, node: onnx.NodeProto) -> None:
    """Add a node that the builder does not look at."""
    g._nodes.append(node)  # pyright: ignore[reportPrivateUsage]


def declared(g: GraphBuilder, x: str) -> onnx.ValueInfoProto:
    """Return a declaration of a tensor for ``value_info``."""
    return onnx.ValueInfoProto(name=x, type=type_of(g, x))


def use(g: GraphBuilder, domain: str, version: int) -> None:
    """Import another version of a domain than the first."""
    g._opsets[domain] = version  # pyright: ignore[reportPrivateUsage]
