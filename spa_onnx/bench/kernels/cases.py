"""Which layers are timed with which zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spa_onnx.bench.kernels.measure import Bench
from spa_onnx.bench.kernels.roofline import Roofline
from spa_onnx.bench.kernels.shapes import Group, Layer
from spa_onnx.bench.kernels.timing import Timing
from spa_onnx.sparse.pattern import Pattern, parse_pattern


@dataclass(frozen=True, slots=True)
class Case:
    """A layer of a group with zeros in a pattern."""

    group: Group
    layer: Layer
    pattern: Pattern
    sparsity: float

    def __str__(self) -> str:
        return f"{self.group.name} {self.pattern} {100 * self.sparsity:g} % {self.layer}"


@dataclass(frozen=True, slots=True)
class Row:
    """A case and what came of it.

    Attributes:
        case: that was timed.
        timing: of the layer.
        roofline: share of the machine's limit that ours reaches.
    """

    case: Case
    timing: Timing
    roofline: float

    @property
    def group(self) -> str:
        """Return the name of the layer's group."""
        return self.case.group.name

    @property
    def together(self) -> str:
        """Return under which name layers of several groups are averaged."""
        return self.case.group.together

    @property
    def pattern(self) -> str:
        """Return the pattern of the zeros."""
        return self.timing.pattern

    @property
    def sparsity(self) -> float:
        """Return the share of zeros."""
        return self.timing.sparsity

    @property
    def ratio(self) -> float:
        """Return how many times faster ours is."""
        return self.timing.ratio


def cases(
    groups: Sequence[Group], patterns: Sequence[str], sparsities: Sequence[float]
) -> Iterator[Case]:
    """Yield what to time, layers of a mean together.

    Args:
        groups: of layers.
        patterns: of all groups; without any, each group has its own.
        sparsities: of patterns that do not say it themselves.
    """
    for group in groups:
        for pattern in dict.fromkeys(map(parse_pattern, patterns or group.patterns)):
            own = pattern.sparsity
            for sparsity in dict.fromkeys(sparsities) if own is None else (own,):
                for layer in group.layers:
                    yield Case(group, layer, pattern, sparsity)


def run(
    listed: Sequence[Case], bench: Bench, roofline: Roofline, tell: Callable[[Row, int], None]
) -> list[Row]:
    """Time all cases; ``tell`` hears of each and how many are done.

    Raises:
        WrongLayerError: an output is wrong.
    """
    rows = []
    for case in listed:
        timing = bench.time(case.layer, str(case.pattern), case.sparsity, case.group.megabytes)
        rows.append(Row(case, timing, timing.roofline_share(roofline)))
        tell(rows[-1], len(rows))
    return rows
