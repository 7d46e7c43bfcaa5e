"""The form of a rule: what one operator says about the axes of its tensors.

A rule reads the expressions of a node's inputs, builds those of its outputs with the operations of
the algebra, and names what it mixes. It does not walk the graph and knows no pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from spa_onnx.algebra.expression import Axes, Expr, IntArray
from spa_onnx.algebra.size import Polynomial, Size
from spa_onnx.algebra.space import Space
from spa_onnx.granularity import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spa_onnx.graph.node import Node


class RefusalError(Exception):
    """The operator's axes cannot be followed; all of them become fixed, for this reason."""


class Neutral(Enum):
    """How removed lanes are made not to matter to an operator that mixes lanes of an axis."""

    ZERO = "zero"
    ONE = "one"
    LOWEST = "lowest"
    HIGHEST = "highest"
    MEAN = "mean"
    SOFTMAX = "softmax"
    LAYER_NORM = "layer norm"
    RMS_NORM = "rms norm"
    INSTANCE_NORM = "instance norm"
    GROUP_NORM = "group norm"
    SKIP_LAYER_NORM = "layer norm of a sum"
    SKIP_RMS_NORM = "rms norm of a sum"
    EMBED_LAYER_NORM = "layer norm of embeddings"
    ZERO_POINT = "zero point"


@dataclass(frozen=True, slots=True)
class Mixed:
    """Input ``input`` is mixed over ``axes``; removed lanes there must be neutral.

    ``zero_point`` is the input that holds the neutral element of a quantised tensor.
    """

    input: int
    axes: tuple[int, ...]
    neutral: Neutral = Neutral.ZERO
    zero_point: int | None = None


class Lanes(Protocol):
    """What a plan leaves of an axis."""

    def length(self, expr: Expr) -> Size:
        """Return the new length."""
        ...

    def places(self, expr: Expr) -> IntArray:
        """Return the old position of every new one; uneven dims without their rows all stay."""
        ...

    def positions(self, expr: Expr) -> IntArray:
        """Return the new position of every old one, -1 where it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Resized:
    """New values of a node's size constants.

    Attributes:
        attributes: attributes by name; an empty list removes one.
        inputs: integer inputs by position; symbolic entries are read at run time.
    """

    attributes: Mapping[str, int | float | Sequence[int]] = field(default_factory=dict)
    inputs: Mapping[int, Sequence[Size] | NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coupling:
    """What one node says.

    Attributes:
        outputs: axes of every output; None where not even the rank is known.
        mixed: inputs whose lanes the operator mixes.
        produced: axes that the node's weights make (free axes of a contraction, table columns).
        consumed: axes that a contraction sums over.
        resize: recomputes size constants for the lanes that stay.
        work: multiply-accumulate operations, a sum of products of axis lengths.
        numbers: outputs whose values are lane numbers of an axis, see
            :mod:`spa_onnx.analyse.lane_numbers`.
        reads: inputs of lane numbers that are looked up along their axis again.
        limits: axes of which so many lanes must stay.
        kinds: what lanes inside a fused operator are, where the graph does not show it.
        hidden: axes of tensors that exist only inside the operator and have lanes that its inputs
            and outputs show as factors: statistics of groups, scores of heads.
    """

    outputs: tuple[Axes | None, ...]
    mixed: tuple[Mixed, ...] = ()
    produced: tuple[Expr, ...] = ()
    consumed: tuple[Expr, ...] = ()
    resize: Callable[[Lanes], Resized] | None = None
    work: tuple[Axes, ...] = ()
    numbers: tuple[tuple[int, Expr], ...] = ()
    reads: frozenset[int] = frozenset()
    limits: tuple[tuple[Expr, int], ...] = ()
    kinds: tuple[tuple[Kind, Expr], ...] = ()
    hidden: tuple[Axes, ...] = ()


class Operands(Protocol):
    """What a rule sees of its node."""

    node: Node
    space: Space

    @property
    def count(self) -> int:
        """Return the number of inputs, omitted ones at the end not counted."""
        ...

    def has(self, position: int) -> bool:
        """Say whether an optional input is given."""
        ...

    def axes(self, position: int) -> Axes:
        """Return the axes of an input.

        Raises:
            RefusalError: its rank is unknown.
        """
        ...

    def sizes(self, position: int) -> list[Size]:
        """Return an integer input as a flat list, symbolic entries included.

        Raises:
            RefusalError: it is computed from data.
        """
        ...

    def constant(self, position: int) -> NDArray[np.generic] | None:
        """Return the values of an input that is known before run time and not symbolic."""
        ...

    def is_weight(self, position: int) -> bool:
        """Say whether an input depends on initializers, and at most on which lanes are chosen."""
        ...

    def numbers(self, position: int) -> Expr | None:
        """Return the axis whose lane numbers an input holds, if it does."""
        ...

    def inferred(self, output: int) -> tuple[Size, ...] | None:
        """Return an output's shape from ONNX shape inference."""
        ...


@dataclass(frozen=True, slots=True)
class OpRule:
    """Everything about one operator.

    Attributes:
        op: operator type, with domain unless standard.
        couple: states the correspondence of axes.
        size_inputs: inputs that hold lengths or positions; their values are recomputed.
    """

    op: str
    couple: Callable[[Operands], Coupling]
    size_inputs: frozenset[int] = frozenset()


def axis_of(operands: Operands, position: int, default: int, name: str = "axis") -> int:
    """Return an axis attribute as a non-negative number, checked against the input's rank.

    Raises:
        RefusalError: the rank is unknown or the axis outside of it.
    """
    return normalised(operands.node.integer(name, default), len(operands.axes(position)))


def normalised(axis: int, rank: int) -> int:
    """Return ``axis`` counted from the front.

    Raises:
        RefusalError: outside of ``rank``.
    """
    if not -rank <= axis < rank:
        raise RefusalError(f"axis {axis} of a tensor of rank {rank}")
    return axis % rank


def static(sizes: Iterable[Size]) -> list[int]:
    """Return sizes that must not be symbolic.

    Raises:
        RefusalError: one depends on a dynamic axis.
    """
    numbers = list(sizes)
    if any(isinstance(n, Polynomial) for n in numbers):
        raise RefusalError("axes, steps or pads depend on a dynamic axis")
    return [n for n in numbers if isinstance(n, int)]


def replaced(axes: Axes, changes: Mapping[int, Expr]) -> Axes:
    """Return the axes with some of them replaced."""
    return tuple(changes.get(k, e) for k, e in enumerate(axes))
