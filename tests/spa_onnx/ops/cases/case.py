"""One form of one operator between layers whose lanes can be cut."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx

from tests.builders import GraphBuilder

Build = Callable[[GraphBuilder], str | tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A small model around an operator.

    Attributes:
        op: operator type as in ``RULES``.
        form: what is special about this use.
        opset: version of the default domain.
        build: makes the graph and returns its outputs.
        cut: whether lanes of the first layer can be cut although the operator stands behind it.
        checkable: whether onnx.checker accepts the operator in this opset.
        runs: whether ONNX Runtime has the operator.
    """

    op: str
    form: str
    opset: int
    build: Build
    cut: bool = True
    checkable: bool = True
    runs: bool = True

    def __str__(self) -> str:
        return f"{self.op}-{self.opset}-{self.form}".replace(" ", "_")

    @property
    def model(self) -> onnx.ModelProto:
        """Return a copy of the model."""
        model = onnx.ModelProto()
        model.CopyFrom(_model(self))
        return model


@cache
def _model(case: Case) -> onnx.ModelProto:
    g = GraphBuilder(opset=case.opset)
    outputs = case.build(g)
    names = (outputs,) if isinstance(outputs, str) else outputs
    return g.model(*names, check=case.checkable)


def forms(op: str, form: str, opsets: Iterable[int], build: Build, **facts: Any) -> Iterator[Case]:
    """Yield the same graph in several opsets."""
    for opset in opsets:
        yield Case(op, form, opset, build, **facts)


# -- what stands around the operator ---------------------------------------------------------------


def image(g: GraphBuilder, channels: int = 8, size: int = 6) -> str:
    """The result of a convolution, ``(2, channels, size, size)``."""
    return g.conv(g.input("x", (2, 3, size, size)), channels, 3)


def tokens(g: GraphBuilder, width: int = 8) -> str:
    """The result of a linear layer, ``(2, 5, width)``."""
    return g.linear(g.input("x", (2, 5, 4)), width)


def rows(g: GraphBuilder, width: int = 8) -> str:
    """The result of a fully connected layer, ``(2, width)``."""
    return g.gemm(g.input("x", (2, 4)), width)


def end(g: GraphBuilder, y: str) -> str:
    """A layer that reads the lanes of ``y``: channels of axis 1, or features of the last axis."""
    match len(g.shape(y)):
        case 4 | 5:
            return g.conv(y, 3)
        case 2:
            return g.gemm(y, 3)
        case _:
            return g.linear(y, 3)


def floats(g: GraphBuilder, x: str) -> str:
    """Cast to the graph's own type."""
    return g.node("Cast", [x], to=onnx.TensorProto.FLOAT)


NEWEST = 26
"""Newest opset of the default domain that the installed ONNX Runtime runs."""
