"""``spa-onnx bench latency``: whole models against each other."""

from __future__ import annotations

from pathlib import Path

import click

from spa_onnx.cli.options import (
    FILE,
    Shapes,
    bench_threads_option,
    input_shape_option,
    json_flag,
    quiet_option,
)
from spa_onnx.cli.terminal import console, progress


@click.command()
@click.argument("models", nargs=-1, required=True, type=FILE, metavar="MODEL...")
@bench_threads_option
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    metavar="N",
    help="Runs of every model that count, in each session.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="N",
    help="Rounds before them.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="How often all models are opened.",
)
@click.option(
    "--io-binding", is_flag=True, help="Bind inputs and outputs once, not with every run."
)
@input_shape_option
@json_flag
@quiet_option
def latency(
    models: tuple[Path, ...],
    threads: int,
    rounds: int,
    warm_up: int,
    sessions: int,
    io_binding: bool,
    input_shapes: Shapes,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time MODELs in ONNX Runtime, runs in turns, and compare them with the first.

    Operators of the domain ai.spa are registered. The processor's own time is told for one thread:
    it is less disturbed by other work on the machine than the wall's.
    """
    with progress(quiet=quiet, lines=not as_json) as observer:
        observer("import")

        from spa_onnx.latency.race import RaceSettings, race
        from spa_onnx.latency.race_table import print_race, race_json

        settings = RaceSettings(threads, rounds, warm_up, sessions, io_binding, input_shapes)
        racers = race(models, settings, observer)
    if as_json:
        click.echo(race_json(racers, settings), nl=False)
        return
    with console() as screen:
        print_race(screen, racers, settings)
