"""``spa-onnx lower``: run sparse weights on kernels that skip their zeros."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spa_onnx.cli.files import check_output, check_texts, weights_of, write_text
from spa_onnx.cli.options import (
    FILE,
    input_shape_option,
    model_argument,
    output_option,
    quiet_option,
    seed_option,
)
from spa_onnx.cli.terminal import console, progress
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from spa_onnx.lower.config import LowerConfig, Precision, Target

STANDARD_OUTPUT = Path("-")


@click.command()
@model_argument
@output_option
@click.option(
    "--target",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What the model will run on.",
)
@click.option(
    "--precision",
    type=click.Choice(["float16"]),
    help="Convert a float32 model first; for --target cuda.",
)
@click.option("--force", is_flag=True, help="Lower all that can be, faster or not.")
@click.option(
    "--undo", "back", is_flag=True, help="Make a standard model of a lowered one instead."
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of ONNX Runtime that times are taken with.",
)
@click.option("--fresh", is_flag=True, help="Measure layers again that the table knows.")
@input_shape_option
@click.option(
    "--external-data", is_flag=True, help="Keep weights in OUT.data, which the runtime maps."
)
@seed_option
@click.option("--report", type=FILE, metavar="REPORT.json", help="Write the report; - prints it.")
@quiet_option
def lower(
    model: Path,
    output: Path,
    target: Target,
    precision: Precision | None,
    force: bool,
    back: bool,
    threads: int,
    fresh: bool,
    input_shapes: Mapping[str, tuple[int, ...]],
    external_data: bool,
    seed: int,
    report: Path | None,
    quiet: bool,
) -> None:
    """Let ONNX Runtime skip the zeros of MODEL's weights, where that is faster here.

    Weights with zeros are packed and their products done by operators of spa-onnx's own library,
    if that was measured to be faster on this machine. The result runs in a session with the
    library registered. For GPUs (--target cuda) that takes float16 or bfloat16.
    """
    if back and (force or report is not None):
        raise UsageError("--undo goes with neither --force nor --report")
    if back and (target != "cpu" or precision is not None):
        raise UsageError("--undo goes with neither --target nor --precision: the model tells")
    printed = report == STANDARD_OUTPUT
    _check_files(model, output, None if printed else report)

    from spa_onnx.lower.config import LowerConfig

    config = LowerConfig(
        force=force,
        threads=threads,
        fresh=fresh,
        input_shapes=input_shapes,
        seed=seed,
        external_data=external_data,
        target=target,
        precision=precision,
    )
    if back:
        _undo(model, output, config, quiet=quiet)
        return

    from spa_onnx.lower.report import print_report
    from spa_onnx.lower.run import lower as run

    with progress(quiet=quiet) as observer:
        found = run(model, output, config, observer)
    if printed:
        click.echo(found.to_json(), nl=False)
    elif report is not None:
        write_text(report, found.to_json())
    if not quiet:
        with console(stderr=printed) as screen:
            print_report(screen, found, str(output))


def _undo(model: Path, output: Path, config: LowerConfig, *, quiet: bool) -> None:
    from spa_onnx.lower.back import undo as run
    from spa_onnx.lower.report import print_undone

    with progress(quiet=quiet) as observer:
        found = run(model, output, config, observer)
    if not quiet:
        with console() as screen:
            print_undone(screen, found, str(output))


def _check_files(model: Path, output: Path, report: Path | None) -> None:
    """Refuse destinations that cannot be written, or that would overwrite what must survive.

    Raises:
        UsageError: names the option.
    """
    check_output(output)
    if report is not None:
        data = output.with_name(output.name + ".data")
        taken = {"the model": model, "the output": output, "the output's weights": data}
        check_texts({"--report": report}, {**taken, **weights_of(model, [report])})
