"""One node as the stages see it: names, version and attributes, without protobuf details."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import onnx
from onnx import helper

STANDARD_DOMAINS = ("", "ai.onnx")

Scope = tuple[tuple[int, str], ...]
"""Path to a control-flow body: node position and attribute name at every level; () is the model."""


class Node:
    """A read-only view of a NodeProto.

    Attributes:
        proto: the message; ``rewrite`` edits a copy.
        index: position in its graph's node list.
        scope: the graph that holds it, see :data:`Scope`.
        op: operator type, with its domain in front unless it is the standard one.
        version: opset version of the operator's domain.
        inputs: tensor names, ``""`` where an optional input is left out.
        outputs: tensor names.
    """

    def __init__(self, proto: onnx.NodeProto, version: int, index: int, scope: Scope = ()) -> None:
        self.proto, self.index, self.scope = proto, index, scope
        standard = proto.domain in STANDARD_DOMAINS
        self.op = proto.op_type if standard else f"{proto.domain}::{proto.op_type}"
        self.version = version
        self.inputs = list(proto.input)
        self.outputs = list(proto.output)

    @property
    def label(self) -> str:
        """Name the node in messages: operator, and name or first output."""
        return f"{self.op} '{self.proto.name or next(filter(None, self.outputs), '')}'"

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Return attribute values; strings stay bytes, as ONNX stores them."""
        return {a.name: helper.get_attribute_value(a) for a in self.proto.attribute if a.type}

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        return int(self.attributes.get(name, default))

    def ints(self, name: str, default: list[int] | None = None) -> list[int]:
        """Return an integer list attribute."""
        return [int(n) for n in self.attributes.get(name, default or [])]

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)

    def bodies(self) -> list[onnx.GraphProto]:
        """Return the graphs that the node runs as control flow."""
        found: list[onnx.GraphProto] = []
        for attribute in self.proto.attribute:
            found.extend(attribute.graphs)
            if attribute.HasField("g"):
                found.append(attribute.g)
        return found

    def branches(self) -> list[tuple[str, onnx.GraphProto]]:
        """Return the named bodies, in the order of attributes."""
        return [(a.name, a.g) for a in self.proto.attribute if a.HasField("g")]


class BodyEntry(Node):
    """Where a run enters the body of a Loop or Scan: makes the body's inputs of the node's.

    Stands in front of the body's nodes; the file holds no such node.
    """

    def __init__(self, node: Node, body: onnx.GraphProto) -> None:
        super().__init__(node.proto, node.version, node.index, node.scope)
        self.op = f"body of {node.op}"
        self.body = body
        self.outputs = [v.name for v in body.input]
