"""``python -m tests.end_to_end.gpu_check``: see :mod:`tests.end_to_end.gpu_check`.

Needs a GPU, its driver, the CUDA toolkit, CMake, and of Python numpy, onnx, ml_dtypes, networkx,
click, rich, pytest and hypothesis; for whole models onnxruntime-gpu, torch and transformers. The
package need not be installed, and nothing is fetched from anywhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click

from spa_onnx.bench.identity import this_compiler
from tests.end_to_end.gpu_check.build import Build
from tests.end_to_end.gpu_check.models import run_models
from tests.end_to_end.gpu_check.place import ROOT, Place
from tests.end_to_end.gpu_check.report import (
    OtherReportError,
    default_path,
    described,
    failed,
    kept_steps,
    tables,
    write_report,
)
from tests.end_to_end.gpu_check.result import StepResult
from tests.end_to_end.gpu_check.run_tests import run_tests
from tests.end_to_end.gpu_check.sanitize import sanitize
from tests.end_to_end.gpu_check.table import time_table

Step = Callable[[Place], StepResult]
STEPS = ("build", "tests", "table", "sanitize", "models")


@click.command()
@click.option("--step", "chosen", multiple=True, type=click.Choice(STEPS), help="Repeatable.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--keep", is_flag=True, help="Keep what the report says of steps that do not run.")
@click.option("--minutes", default=9.0, show_default=True, help="That all steps may take.")
@click.option("--libraries", type=click.Path(file_okay=False, path_type=Path))
@click.option("--architectures", default="native", show_default=True, help="As CMake takes them.")
@click.option("--every-kernel", is_flag=True, help="Time all kernels that can run a layer.")
@click.option("-k", "tests", default="", metavar="WORDS", help="Tests to run, as for pytest.")
@click.option("--sources", metavar="COMMIT", help="What is checked.  [default: as git tells]")
@click.option("--emulated", is_flag=True, help="Try the script without a GPU.")
def main(
    chosen: tuple[str, ...],
    output: Path | None,
    keep: bool,
    minutes: float,
    libraries: Path | None,
    architectures: str,
    every_kernel: bool,
    tests: str,
    sources: str | None,
    emulated: bool,
) -> None:
    """Build, test, time and sanitize the kernels for GPUs, and run whole models on them.

    What fails is written down and the rest goes on; the status is 1 then.
    """
    folder = ROOT / "build" / ("gpu-emulated" if emulated else "gpu")
    folder.mkdir(parents=True, exist_ok=True)
    place = Place(
        folder, (libraries or folder).resolve(), emulated, time.monotonic() + 60 * minutes
    )
    steps: Mapping[str, Step] = {
        "build": Build(architectures),
        "tests": partial(run_tests, chosen=tests),
        "table": partial(time_table, every_kernel=every_kernel),
        "sanitize": sanitize,
        "models": run_models,
    }
    found, lines = _run({name: steps[name] for name in STEPS if name in (chosen or STEPS)}, place)
    device, of = described(place), this_compiler().commit if sources is None else sources
    path, kept = output or default_path(str(device["device"])), dict[str, Any]()
    try:
        kept = kept_steps(path, device, of) if keep else {}
    except OtherReportError as other:
        path = path.with_suffix(".new.json")
        click.echo(f"{other}: nothing is kept of it")
    every = {name: step for name in STEPS if (step := found.get(name) or kept.get(name))}
    write_report(path, device, of, every)
    click.echo(f"\n{tables(every, lines)}\n\nwrote {path}")
    sys.exit(1 if failed(found) else 0)


def _run(steps: Mapping[str, Step], place: Place) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what came of each step, for the report and in a line."""
    found: dict[str, Any] = {}
    lines: dict[str, str] = {}
    for name, step in steps.items():
        click.echo(f"{name} ...", err=True)
        begun = time.monotonic()
        try:
            result = step(place)
        except Exception as failure:  # whatever it is, the other steps go on
            result = StepResult(f"{type(failure).__name__}: {failure}")
        seconds = time.monotonic() - begun
        found[name], lines[name] = result.as_json(seconds), result.line
        click.echo(f"{name}: {result.status} in {seconds:.0f} s. {result.line}", err=True)
    return found, lines


if __name__ == "__main__":
    main()
