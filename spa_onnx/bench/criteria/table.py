"""Outcomes as tables: seeds together, one row for model, recipe and budget."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import mean, stdev

from spa_onnx.bench.criteria.unit import Outcome
from spa_onnx.bench.markdown import table

EXPLANATION = (
    "Mean over seeds, ± the standard deviation. Distance: squared change of the outputs on the "
    "calibration inputs, in shares of their variance. Milliseconds: a run of "
    "one item on one thread, medians of runs of both models in turns. Seconds: the pruning. The "
    "machine may have had other work."
)


@dataclass(frozen=True, slots=True)
class Group:
    """The outcomes of one model, recipe and budget, over seeds."""

    model: str
    recipe: str
    budget: str
    amount: float
    outcomes: tuple[Outcome, ...]

    @property
    def done(self) -> list[Outcome]:
        """Return the outcomes that have a result."""
        return [o for o in self.outcomes if not o.failure]

    def values(self, read: Callable[[Outcome], float | None]) -> list[float]:
        """Return a number of every result that has it."""
        return [value for o in self.done if (value := read(o)) is not None]


def groups(outcomes: Sequence[Outcome]) -> list[Group]:
    """Put seeds together, in the order in which they come."""
    found: dict[tuple[str, str, str, float], list[Outcome]] = {}
    for o in outcomes:
        found.setdefault((o.model, o.recipe, o.budget, o.amount), []).append(o)
    return [Group(*key, tuple(members)) for key, members in found.items()]


def markdown(outcomes: Sequence[Outcome], command: str, versions: str) -> str:
    """Return a page with one row for every model, recipe and budget."""
    titles = ["model", "budget", "recipe", "score", "lost", "distance", "operations", "parameters",
              "dense ms", "ms", "seconds", "seeds"]  # fmt: skip
    rows = [
        [
            g.model,
            f"{g.budget} {g.amount:g}",
            g.recipe,
            _spread(g.values(lambda o: o.score), "{:.2f}"),
            _spread(g.values(_lost), "{:.2f}"),
            _spread(g.values(lambda o: o.distance), "{:.4f}"),
            _middle(g.values(lambda o: o.operations), "{:.1%}"),
            _middle(g.values(lambda o: o.parameters), "{:.1%}"),
            _middle(g.values(lambda o: o.dense_ms), "{:.3g}"),
            _middle(g.values(lambda o: o.latency_ms), "{:.3g}"),
            _middle(g.values(lambda o: o.seconds), "{:.1f}"),
            f"{len(g.done)} of {len(g.outcomes)}",
        ]
        for g in groups(outcomes)
    ]
    lines = ["# Criteria", "", f"    {command}", "", f"{versions}. {EXPLANATION}", ""]
    lines += table(titles, rows, right=3)
    failures = [
        [o.model, f"{o.budget} {o.amount:g}", o.recipe, str(o.seed), o.failure]
        for o in outcomes
        if o.failure
    ]
    if failures:
        lines += ["", "## Without a result", ""]
        lines += table(["model", "budget", "recipe", "seed", "why"], failures)
    return "\n".join(lines) + "\n"


def _lost(outcome: Outcome) -> float | None:
    if outcome.dense is None or outcome.score is None:
        return None
    return outcome.dense - outcome.score


def _spread(values: Sequence[float], form: str) -> str:
    if len(values) < 2:
        return _middle(values, form)
    return f"{form.format(mean(values))} ± {form.format(stdev(values))}"


def _middle(values: Sequence[float], form: str) -> str:
    return form.format(mean(values)) if values else "-"


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """Return one line for every outcome, with a line of titles."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Outcome)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(o) for o in outcomes)
    return text.getvalue()


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return a list of objects, one for every outcome."""
    return json.dumps([asdict(o) for o in outcomes], indent=1, allow_nan=False) + "\n"
