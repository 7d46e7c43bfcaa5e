"""``spa-onnx prune``: decide what goes, remove it, prove it."""

from __future__ import annotations

from pathlib import Path

import click

from spa_onnx.allocate.budget import Budget, KeepFlops, KeepParams, Ratio
from spa_onnx.cli.files import check_output, check_texts, weights_of, write_text
from spa_onnx.cli.options import (
    FILE,
    Shapes,
    exclude_option,
    granularity_option,
    input_shape_option,
    model_argument,
    output_option,
    proof_memory_option,
    quiet_option,
    seed_option,
    verify_option,
)
from spa_onnx.cli.summary import show_run
from spa_onnx.cli.terminal import progress
from spa_onnx.config import PruneConfig
from spa_onnx.errors import UsageError

STANDARD_OUTPUT = Path("-")


@click.command()
@model_argument
@output_option
@click.option("--ratio", type=float, metavar="R", help="Remove this share of every prunable dim.")
@click.option(
    "--keep-flops", type=float, metavar="F", help="Keep at most this share of operations."
)
@click.option(
    "--keep-params", type=float, metavar="P", help="Keep at most this share of parameters."
)
@click.option("--importance", default="l2", show_default=True, help="Pass that scores lanes.")
@click.option("--allocation", help="Pass that spends the budget.  [default: uniform or global]")
@click.option(
    "--align", type=click.IntRange(1), default=1, show_default=True, help="Multiple of kept widths."
)
@granularity_option
@exclude_option
@input_shape_option
@seed_option
@click.option("--plan-out", type=FILE, metavar="PLAN.json", help="Write the plan, to replay it.")
@click.option(
    "--json", "report_out", type=FILE, metavar="REPORT.json", help="Write the report; - prints it."
)
@verify_option
@proof_memory_option
@quiet_option
def prune(
    model: Path,
    output: Path,
    ratio: float | None,
    keep_flops: float | None,
    keep_params: float | None,
    importance: str,
    allocation: str | None,
    align: int,
    granularity: tuple[str, ...],
    exclude: tuple[str, ...],
    input_shapes: Shapes,
    seed: int,
    plan_out: Path | None,
    report_out: Path | None,
    proved: bool,
    proof_memory: int,
    quiet: bool,
) -> None:
    """Remove lanes of MODEL and write the smaller model.

    Without a budget, half of the lanes of every prunable dim go (--ratio 0.5).
    """
    budget = _budget(ratio, keep_flops, keep_params)
    check_output(output)
    printed = report_out == STANDARD_OUTPUT
    texts = {"--plan-out": plan_out, "--json": None if printed else report_out}
    files = {option: path for option, path in texts.items() if path is not None}
    data = output.with_name(output.name + ".data")
    results = {"the output": output, "the output's weights": data}
    check_texts(files, {"the model": model, **results, **weights_of(model, files.values())})

    from spa_onnx.pipeline import prune as run

    config = PruneConfig(
        budget=budget,
        importance=importance,
        allocation=allocation,
        align=align,
        exclude=exclude,
        granularity=granularity,
        input_shapes=input_shapes,
        seed=seed,
        verify=proved,
        proof_memory=proof_memory,
    )
    with progress(quiet=quiet) as observer:
        result = run(model, config, output=output, observer=observer)
    if plan_out is not None:
        write_text(plan_out, result.plan.to_json())
    if printed:
        click.echo(result.report.to_json(), nl=False)
    elif report_out is not None:
        write_text(report_out, result.report.to_json())
    if not quiet:
        show_run(result.report, model, output, stderr=printed)


def _budget(ratio: float | None, keep_flops: float | None, keep_params: float | None) -> Budget:
    """Return the one budget that was asked for.

    Raises:
        UsageError: more than one, or a share out of range.
    """
    if sum(share is not None for share in (ratio, keep_flops, keep_params)) > 1:
        raise UsageError("give one budget only: --ratio, --keep-flops or --keep-params")
    if keep_flops is not None:
        return KeepFlops(keep_flops)
    if keep_params is not None:
        return KeepParams(keep_params)
    return Ratio(0.5 if ratio is None else ratio)
