"""Score against operations, one picture for every model and one line for every recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING

from spa_onnx.bench.criteria.table import Group, groups
from spa_onnx.bench.criteria.unit import Outcome
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
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
            _line(axes, [g for g in points if g.recipe == recipe], recipe, scored)
        dense = [o.dense for g in points for o in g.done if o.dense is not None]
        if dense:
            axes.axhline(dense[0], color="0.6", linewidth=1, linestyle=":", label="original")
        axes.set_xlabel("operations kept, %")
        axes.set_ylabel("score" if scored else "distance to the original")
        axes.set_title(model, fontsize=10)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
        written.append(folder / f"{Path(model).stem}.png")
        figure.savefig(written[-1], dpi=120)
    return written


def _line(axes: Axes, points: Sequence[Group], recipe: str, scored: bool) -> None:
    """Draw means over seeds with their standard deviation."""
    rows = []
    for g in points:
        values = g.values(lambda o: o.score if scored else o.distance)
        if values:
            spread = stdev(values) if len(values) > 1 else 0.0
            kept = 100 * mean(g.values(lambda o: o.operations))
            rows.append((kept, mean(values), spread))
    if rows:
        x, y, spread_of = zip(*sorted(rows), strict=True)
        axes.errorbar(x, y, yerr=spread_of, marker="o", markersize=4, capsize=3, label=recipe)
