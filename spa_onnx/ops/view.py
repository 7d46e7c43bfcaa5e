"""See inputs in the order of a simpler operator: QLinearConv is a Conv with scales between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from spa_onnx.algebra.expression import Axes, Expr
from spa_onnx.algebra.size import Size
from spa_onnx.ops.rule import Coupling, Mixed, Neutral, Operands, RefusalError
from spa_onnx.ops.values import Value


class Selected:
    """Operands with their inputs in another order; see :class:`spa_onnx.ops.rule.Operands`."""

    def __init__(self, operands: Operands, positions: Sequence[int]) -> None:
        self.node, self.space = operands.node, operands.space
        self._operands = operands
        self.positions = list(positions)

    @property
    def count(self) -> int:
        """Return the number of selected inputs without omitted ones at the end."""
        return max((k + 1 for k in range(len(self.positions)) if self.has(k)), default=0)

    def has(self, position: int) -> bool:
        """Say whether a selected input is given."""
        return position < len(self.positions) and self._operands.has(self.positions[position])

    def _at(self, position: int) -> int:
        if not self.has(position):
            raise RefusalError(f"input {position} is missing")
        return self.positions[position]

    def axes(self, position: int) -> Axes:
        """Return the axes of a selected input."""
        return self._operands.axes(self._at(position))

    def sizes(self, position: int) -> list[Size]:
        """Return a selected integer input."""
        return self._operands.sizes(self._at(position))

    def constant(self, position: int) -> Value | None:
        """Return a selected constant input."""
        return self._operands.constant(self._at(position)) if self.has(position) else None

    def is_weight(self, position: int) -> bool:
        """Say whether a selected input depends on initializers only."""
        return self.has(position) and self._operands.is_weight(self.positions[position])

    def numbers(self, position: int) -> Expr | None:
        """Return the axis whose lane numbers a selected input holds."""
        return self._operands.numbers(self.positions[position]) if self.has(position) else None

    def inferred(self, output: int) -> tuple[Size, ...] | None:
        """Return an output's inferred shape."""
        return self._operands.inferred(output)


def seen_as(
    couple: Callable[[Operands], Coupling],
    positions: Sequence[int],
    zero_points: Mapping[int, int] | None = None,
) -> Callable[[Operands], Coupling]:
    """Return a rule that reads other inputs than ``couple`` does.

    Args:
        couple: rule of the simpler operator.
        positions: which inputs stand for its inputs, in its order.
        zero_points: input -> the input that holds its zero point, which is its neutral element.
    """

    def run(operands: Operands) -> Coupling:
        view = Selected(operands, positions)
        coupling = couple(view)
        return replace(coupling, mixed=tuple(back(operands, view, m) for m in coupling.mixed))

    def back(operands: Operands, view: Selected, mixed: Mixed) -> Mixed:
        position = view.positions[mixed.input]
        zero = (zero_points or {}).get(position)
        if mixed.neutral is Neutral.ZERO and zero is not None and operands.has(zero):
            return Mixed(position, mixed.axes, Neutral.ZERO_POINT, zero)
        return replace(mixed, input=position)

    return run
