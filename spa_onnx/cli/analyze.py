"""``spa-onnx analyze``: what can be cut, what cannot, and why."""

from __future__ import annotations

from pathlib import Path

import click

from spa_onnx.cli.options import (
    Shapes,
    exclude_option,
    granularity_option,
    input_shape_option,
    json_flag,
    model_argument,
)
from spa_onnx.cli.terminal import console, progress


@click.command()
@model_argument
@click.option("--why", is_flag=True, help="List every fixed weight axis with operator and reason.")
@json_flag
@granularity_option
@exclude_option
@input_shape_option
def analyze(
    model: Path,
    why: bool,
    as_json: bool,
    granularity: tuple[str, ...],
    exclude: tuple[str, ...],
    input_shapes: Shapes,
) -> None:
    """List the prunable dims of MODEL: kind, lanes, members, and what a lane costs."""
    with progress(lines=False) as observer:
        observer("analyse")

        from spa_onnx.pipeline import analyze as run
        from spa_onnx.report.analysis import make_analysis_report

        analysis = run(model, exclude=exclude, granularity=granularity, input_shapes=input_shapes)
        report = make_analysis_report(str(model), analysis)
    if as_json:
        click.echo(report.to_json(), nl=False)
        return

    from spa_onnx.report.analysis_text import print_analysis

    with console() as screen:
        print_analysis(screen, report, why=why)
