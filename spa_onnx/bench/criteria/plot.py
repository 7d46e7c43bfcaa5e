"""Score against operations or latency: a picture for every model, a line for every recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from spa_onnx.bench.criteria.table import Group, groups
from spa_onnx.bench.criteria.unit import Outcome
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Abscissa:
    """What scores are drawn against.

    Attributes:
        title: of the axis.
        read: its value of a result, in percent.
    """

    title: str
    read: Callable[[Outcome], float | None]


def _operations(outcome: Outcome) -> float | None:
    return None if outcome.operations is None else 100 * outcome.operations


def _latency(outcome: Outcome) -> float | None:
    if outcome.latency_ms is None or not outcome.dense_ms:
        return None
    return 100 * outcome.latency_ms / outcome.dense_ms


ABSCISSAS = {
    "operations": Abscissa("operations kept, %", _operations),
    "latency": Abscissa("latency, % of the original's", _latency),
}


def draw(outcomes: Sequence[Outcome], folder: Path, against: str = "operations") -> list[Path]:
    """Write ``MODEL.png`` for every model with scores or distances, and return the paths.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as failure:
        text = "plots need the extra: pip install 'spa-onnx[plots]'"
        raise UsageError(text) from failure
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for model in dict.fromkeys(o.model for o in outcomes):
        points = [g for g in groups(outcomes) if g.model == model and g.done]
        scored = any(g.values(lambda o: o.score) for g in points)
        if not points:
            continue
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for recipe in dict.fromkeys(g.recipe for g in points):
            _line(
                axes,
                [g for g in points if g.recipe == recipe],
                recipe,
                scored,
                ABSCISSAS[against].read,
            )
        dense = [o.dense for g in points for o in g.done if o.dense is not None]
        if dense:
            axes.axhline(dense[0], color="0.6", linewidth=1, linestyle=":", label="original")
        axes.set_xlabel(ABSCISSAS[against].title)
        axes.set_ylabel("score" if scored else "distance to the original")
        axes.set_title(model, fontsize=10)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        written.append(folder / f"{Path(model).stem}.png")
        figure.savefig(written[-1], dpi=120)
    return written


def _line(
    axes: Axes,
    points: Sequence[Group],
    recipe: str,
    scored: bool,
    abscissa: Callable[[Outcome], float | None],
) -> None:
    """Draw means over seeds with their standard deviation."""
    rows = []
    for g in points:
        values = g.values(lambda o: o.score if scored else o.distance)
        places = g.values(abscissa)
        if values and places:
            spread = stdev(values) if len(values) > 1 else 0.0
            kept = mean(places)
            rows.append((kept, mean(values), spread))
    if rows:
        x, y, spread_of = zip(*sorted(rows), strict=True)
        axes.errorbar(x, y, yerr=spread_of, marker="o", markersize=4, capsize=3, label=recipe)
