"""Tell what the proof costs beside creating sessions, in inference passes of the original.

    python models/proof_cost.py MODEL.onnx...

A pass is one run of the original with the proof's session settings and no inner tensors exposed.
Sessions and runs are counted wherever the proof opens or runs one: original, reference, pruned.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import click

import spa_onnx
from spa_onnx.prove import proof, runtime, trials


def clocked(function: Callable[..., Any], spent: list[float]) -> Callable[..., Any]:
    """Return the function; it appends the seconds of every call to ``spent``."""

    def timed(*args: Any, **facts: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **facts)
        spent.append(time.perf_counter() - start)
        return result

    return timed


def prove_once(model: Path) -> tuple[float, list[float], list[float], float]:
    """Return seconds: the whole proof, its sessions, its runs, one pass of the original."""
    sessions: list[float] = []
    runs: list[float] = []
    passes: list[float] = []
    original: list[Any] = []
    run_original = trials.run_original

    def remembering(*args: Any) -> Any:
        made = run_original(*args)
        original.extend([args[0], args[1], made[0].feeds])
        return made

    open_session, run = clocked(runtime.open_session, sessions), clocked(runtime.run, runs)
    with (
        patch.multiple(proof, open_session=open_session, run=run, run_original=remembering),
        patch.multiple(trials, open_session=open_session, run=run),
    ):
        report = spa_onnx.prune(model, spa_onnx.PruneConfig(importance="l2")).report
    loaded, state, given = original
    session = runtime.open_session(state.graph.model, loaded.weights, ())
    again = clocked(runtime.run, passes)
    for _ in range(7):
        again(session, state.graph.outputs, given)
    return report.seconds["verify"], sessions, runs, median(passes[2:])


@click.command()
@click.argument(
    "models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--rounds", default=5, show_default=True)
def main(models: tuple[Path, ...], rounds: int) -> None:
    """Print what the proof of pruned MODELS costs: medians over interleaved rounds."""
    rows: dict[Path, list[tuple[float, ...]]] = defaultdict(list)
    for _ in range(rounds):
        for model in models:
            whole, sessions, runs, one = prove_once(model)
            rest = whole - sum(sessions) - sum(runs)
            ratio = (whole - sum(sessions)) / one
            rows[model].append((one, sum(sessions), sum(runs), rest, ratio, len(runs)))
    click.echo("| model | one pass | runs | sessions | all runs | rest | passes | range |")
    click.echo(f"|{'---|' * 8}")
    for model, found in rows.items():
        one, opened, ran, rest, ratio, count = (
            median(column) for column in zip(*found, strict=True)
        )
        ratios = [row[4] for row in found]
        click.echo(
            f"| {model.stem} | {one:.3f} s | {count:.0f} | {opened:.2f} s | {ran:.3f} s "
            f"| {rest:.3f} s | {ratio:.1f} | {min(ratios):.1f}-{max(ratios):.1f} |"
        )


if __name__ == "__main__":
    main()
