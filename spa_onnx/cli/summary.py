"""What ``prune`` and ``apply`` print when they are done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spa_onnx.cli.terminal import console

if TYPE_CHECKING:
    from spa_onnx.report.report import PruneReport


def show_run(report: PruneReport, model: Path, output: Path, *, stderr: bool) -> None:
    """Print the summary of a run with the sizes of both files, weights outside included."""
    from spa_onnx.load.model import load
    from spa_onnx.report.text import FileSizes, print_run

    files = FileSizes(str(output), load(model).bytes, load(output).bytes)
    with console(stderr=stderr) as screen:
        print_run(screen, report, files)
