"""Equal reasons together: what a person wants to know of hundreds of fixed axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spa_onnx.algebra.reason import MET
from spa_onnx.report.report import Refusal

UNAVOIDABLE = frozenset({"kernel positions"})
"""Reasons that no user can do anything about and that every model of its kind has."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason split into what did it and why.

    Attributes:
        operator: operator type, or ``graph output`` and the like.
        node: the whole label, ``Gemm '/head/Gemm'``.
        text: what the operator needs of the axis.
        met: where the axis met the one that was fixed so, ``MatMul '/qk': contraction``.
    """

    operator: str
    node: str
    text: str
    met: str = ""


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Fixed axes that have the same kinds of reasons.

    Attributes:
        kinds: operator and text of each reason.
        nodes: labels of the nodes that were the first to ask for it.
        axes: the fixed axes, heaviest first.
        parameters: elements of the tensors they belong to, each counted once.
    """

    kinds: tuple[tuple[str, str], ...]
    nodes: tuple[str, ...]
    axes: tuple[Refusal, ...]
    parameters: int

    @property
    def unavoidable(self) -> bool:
        """Say whether the operator could not work otherwise."""
        return bool(self.kinds) and all(text in UNAVOIDABLE for _, text in self.kinds)


def cause(reason: str) -> Cause:
    """Split a reason as :class:`~spa_onnx.algebra.reason.Reason` writes it, ``Op 'node': text``."""
    met, found, root = reason.partition(f": {MET} by ")
    return _split(root, met) if found else _split(reason, "")


def _split(reason: str, met: str) -> Cause:
    quoted, found, text = reason.partition("': ")
    node = quoted + "'" if found else ""
    if not found:
        node, _, text = reason.partition(": ")
    operator = node.partition(" '")[0] if found else node.partition(" ")[0]
    return Cause(operator, node, text, met)


def group_causes(refusals: Sequence[Refusal]) -> list[CauseGroup]:
    """Return fixed axes by kinds of reasons, heaviest group first, unavoidable ones last."""
    found: dict[tuple[tuple[str, str], ...], list[Refusal]] = {}
    for refusal in refusals:
        kinds = dict.fromkeys((c.operator, c.text) for c in map(cause, refusal.reasons))
        found.setdefault(tuple(sorted(kinds)), []).append(refusal)
    groups = [_group(kinds, axes) for kinds, axes in found.items()]
    return sorted(groups, key=lambda g: (g.unavoidable, -g.parameters))


def _group(kinds: tuple[tuple[str, str], ...], axes: Iterable[Refusal]) -> CauseGroup:
    heaviest = sorted(axes, key=lambda a: -a.parameters)
    nodes = dict.fromkeys(cause(r).node for a in heaviest for r in a.reasons)
    weights = {a.tensor: a.parameters for a in heaviest}
    return CauseGroup(kinds, tuple(nodes), tuple(heaviest), sum(weights.values()))
