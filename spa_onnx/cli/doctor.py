"""``spa-onnx doctor``: whether lowered models run here."""

from __future__ import annotations

import click

from spa_onnx.cli.options import json_flag
from spa_onnx.cli.terminal import console, progress

UNHEALTHY = 7
"""Exit code where a check fails."""


@click.command()
@json_flag
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Examine this machine and installation, and try every ai.spa operator.

    Exit code 7 says that something is not in order; the output says what to do about it.
    """
    with progress(lines=False) as observer:
        from spa_onnx.doctor.examine import examine
        from spa_onnx.doctor.text import diagnosis_json, print_diagnosis

        diagnosis = examine(observer)
    if as_json:
        click.echo(diagnosis_json(diagnosis), nl=False)
    else:
        with console() as screen:
            print_diagnosis(screen, diagnosis)
    if not diagnosis.healthy:
        ctx.exit(UNHEALTHY)
