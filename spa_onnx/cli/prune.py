"""``spa-onnx prune``: decide what goes, remove it, prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from spa_onnx.allocate.budget import Budget, KeepFlops, KeepParams, KeepSize, MaxLatency, Ratio
from spa_onnx.cli.files import check_output, check_texts, weights_of, write_text
from spa_onnx.cli.options import (
    FILE,
    align_option,
    allocation_option,
    calibration_option,
    compensation_option,
    config_option,
    exclude_option,
    granularity_option,
    importance_option,
    input_shape_option,
    max_latency_option,
    model_argument,
    output_option,
    preprocess_option,
    proof_memory_option,
    quiet_option,
    recipe_option,
    samples_option,
    seed_option,
    threads_option,
    verify_option,
)
from spa_onnx.cli.summary import show_run
from spa_onnx.cli.terminal import progress
from spa_onnx.config import PruneConfig
from spa_onnx.errors import UsageError
from spa_onnx.recipe import read_recipe

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
@click.option(
    "--keep-size", type=float, metavar="S", help="Keep at most this share of the weights' bytes."
)
@max_latency_option
@recipe_option
@config_option
@importance_option
@allocation_option
@compensation_option
@calibration_option
@samples_option
@preprocess_option
@align_option
@threads_option
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
    keep_size: float | None,
    max_latency: MaxLatency | None,
    recipe: str | None,
    recipe_file: Path | None,
    plan_out: Path | None,
    report_out: Path | None,
    proved: bool,
    quiet: bool,
    **fields: Any,
) -> None:
    """Remove lanes of MODEL and write the smaller model.

    Without a budget, half of the lanes of every prunable dim go (--ratio 0.5).
    """
    # every other option is the field of the configuration that has its name
    budget = _budget(ratio, keep_flops, keep_params, keep_size, max_latency)
    fields |= {"budget": budget, "verify": proved}
    config = _config(recipe, recipe_file, fields)
    printed = report_out == STANDARD_OUTPUT
    texts = {"--plan-out": plan_out, "--json": None if printed else report_out}
    _check_files(model, output, config, {o: path for o, path in texts.items() if path is not None})

    from spa_onnx.pipeline import prune as run

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


def _check_files(model: Path, output: Path, config: PruneConfig, texts: dict[str, Path]) -> None:
    """Refuse destinations that cannot be written, or that would overwrite what must survive.

    Raises:
        UsageError: names the option.
    """
    check_output(output)
    data = output.with_name(output.name + ".data")
    given = {"--calib": config.calibration, "--preprocess": config.preprocess}
    read = {f"the file of {name}": Path(path) for name, path in given.items() if path is not None}
    check_texts({"--output": output}, read)
    taken = {"the model": model, "the output": output, "the output's weights": data, **read}
    check_texts(texts, {**taken, **weights_of(model, texts.values())})


def _config(recipe: str | None, file: Path | None, fields: dict[str, Any]) -> PruneConfig:
    """Return the configuration; passes of a recipe give way to those that are named.

    Raises:
        UsageError: two recipes, or one that cannot be used.
    """
    if recipe is not None and file is not None:
        raise UsageError("give one recipe only: --recipe or --config")
    given = {name: value for name, value in fields.items() if value is not None}
    if recipe is not None:
        return PruneConfig.of_recipe(recipe, **given)
    if file is not None:
        return PruneConfig.of_recipe(read_recipe(file), **given)
    return PruneConfig(**given)


def _budget(
    ratio: float | None,
    keep_flops: float | None,
    keep_params: float | None,
    keep_size: float | None,
    max_latency: MaxLatency | None,
) -> Budget:
    """Return the one budget that was asked for.

    Raises:
        UsageError: more than one, or a share out of range.
    """
    given = (ratio, keep_flops, keep_params, keep_size, max_latency)
    if sum(amount is not None for amount in given) > 1:
        names = "--ratio, --keep-flops, --keep-params, --keep-size or --max-latency"
        raise UsageError(f"give one budget only: {names}")
    if max_latency is not None:
        return max_latency
    if keep_size is not None:
        return KeepSize(keep_size)
    if keep_flops is not None:
        return KeepFlops(keep_flops)
    if keep_params is not None:
        return KeepParams(keep_params)
    return Ratio(0.5 if ratio is None else ratio)
