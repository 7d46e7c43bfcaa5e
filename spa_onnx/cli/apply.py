"""``spa-onnx apply``: replay a plan."""

from __future__ import annotations

from pathlib import Path

import click

from spa_onnx.cli.files import check_output, check_texts
from spa_onnx.cli.options import (
    FILE,
    json_flag,
    model_argument,
    output_option,
    proof_memory_option,
    quiet_option,
    verify_option,
)
from spa_onnx.cli.summary import show_run
from spa_onnx.cli.terminal import progress


@click.command()
@model_argument
@click.argument("plan", type=FILE, metavar="PLAN.json")
@output_option
@verify_option
@proof_memory_option
@json_flag
@quiet_option
def apply(
    model: Path,
    plan: Path,
    output: Path,
    proved: bool,
    proof_memory: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Cut MODEL as PLAN.json says and write the result.

    The plan may come from another model of the same structure, such as another precision or
    another training state of it.
    """
    check_output(output)
    check_texts({"--output": output}, {"the plan": plan})

    from spa_onnx.pipeline import apply as run

    with progress(quiet=quiet) as observer:
        result = run(
            model,
            plan,
            output=output,
            verify=proved,
            proof_memory=proof_memory,
            observer=observer,
        )
    if as_json:
        click.echo(result.report.to_json(), nl=False)
    if not quiet:
        show_run(result.report, model, output, stderr=as_json)
