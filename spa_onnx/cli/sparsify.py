"""``spa-onnx sparsify``: zeros in the weights, in patterns that kernels can use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spa_onnx.cli.files import check_output, check_texts, weights_of, write_text
from spa_onnx.cli.options import (
    FILE,
    calibration_option,
    exclude_option,
    input_shape_option,
    model_argument,
    output_option,
    preprocess_option,
    quiet_option,
    samples_option,
    seed_option,
)
from spa_onnx.cli.terminal import console, progress
from spa_onnx.sparse.names import ALLOCATION, SELECTION

if TYPE_CHECKING:
    from spa_onnx.sparse.config import SparsifyConfig

STANDARD_OUTPUT = Path("-")


@click.command()
@model_argument
@output_option
@click.option(
    "--sparsity",
    type=float,
    metavar="S",
    help="Share of the weights that goes.  [default: what an N:M pattern says, else 0.5]",
)
@click.option(
    "--pattern",
    default="unstructured",
    show_default=True,
    help="unstructured, block:PxQ (P outputs by Q inputs), N:M, or auto.",
)
@click.option(
    "--target",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What sparse layers will run on; for cuda, auto measures patterns on the GPU here.",
)
@click.option(
    "--selection",
    default=SELECTION,
    show_default=True,
    metavar="NAME",
    help="Pass that chooses weights: admm, obs, wanda or magnitude.",
)
@click.option(
    "--allocation",
    metavar="NAME",
    help=f"Pass that spreads the zeros over layers.  [default: {ALLOCATION}; uniform for N:M and "
    "with --no-repair]",
)
@click.option("--repair/--no-repair", default=True, help="Refit the weights that stay.")
@click.option(
    "--weigh",
    type=click.Choice(["parameters", "operations"]),
    default="parameters",
    show_default=True,
    help="What --sparsity is a share of.",
)
@click.option(
    "--rearrange/--no-rearrange",
    default=False,
    show_default=True,
    help="Put channels that are alike beside each other first.",
)
@calibration_option
@samples_option
@preprocess_option
@exclude_option
@input_shape_option
@seed_option
@click.option(
    "--json",
    "--report",
    "report_out",
    type=FILE,
    metavar="REPORT.json",
    help="Write the report; - prints it.",
)
@quiet_option
def sparsify(
    model: Path, output: Path, report_out: Path | None, quiet: bool, **fields: Any
) -> None:
    """Put zeros into the weights of MODEL, repair those that stay, and write the model.

    The graph stays as it is and runs everywhere.
    """
    # every other option is the field of the configuration that has its name
    from spa_onnx.sparse.config import SparsifyConfig

    config = SparsifyConfig(**fields)
    printed = report_out == STANDARD_OUTPUT
    _check_files(model, output, config, None if printed else report_out)

    from spa_onnx.sparse.report import print_sparsified
    from spa_onnx.sparse.run import sparsify as run

    with progress(quiet=quiet) as observer:
        result = run(model, config, output=output, observer=observer)
    if printed:
        click.echo(result.report.to_json(), nl=False)
    elif report_out is not None:
        write_text(report_out, result.report.to_json())
    if not quiet:
        with console(stderr=printed) as screen:
            print_sparsified(screen, result.report, str(output))


def _check_files(model: Path, output: Path, config: SparsifyConfig, report: Path | None) -> None:
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
    texts = {} if report is None else {"--json": report}
    check_texts(texts, {**taken, **weights_of(model, texts.values())})
