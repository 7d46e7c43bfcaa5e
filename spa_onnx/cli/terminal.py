"""Consoles and progress: lively on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

FILE_WIDTH = 200
"""Columns of a table in a file, where nothing needs to fit a window."""


@contextmanager
def console(*, stderr: bool = False) -> Generator[Console]:
    """Yield a console that prints names as they are, brackets and all.

    What does not go to a terminal is as wide as its names need and has no blanks at line ends.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        yield Console(file=stream, markup=False, highlight=False, emoji=False)
        return
    text = StringIO()
    yield Console(file=text, width=FILE_WIDTH, markup=False, highlight=False, emoji=False)
    lines = (line.rstrip() for line in text.getvalue().splitlines())
    click.echo("\n".join(lines), err=stderr)


@contextmanager
def progress(*, quiet: bool = False, lines: bool = True) -> Generator[Callable[[str], None]]:
    """Yield an observer of stages that tells of them on standard error.

    Args:
        quiet: tell nothing.
        lines: where standard error is no terminal, print a line for each stage.
    """
    if not quiet and sys.stderr.isatty():
        with _spinner() as show:
            yield show
    elif lines and not quiet:
        yield _stage_lines()
    else:
        yield lambda _stage: None


@contextmanager
def _spinner() -> Generator[Callable[[str], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with console(stderr=True) as screen, Progress(*columns, console=screen, transient=True) as bar:
        yield _Spinner(bar, bar.add_task("start", total=None))


@dataclass(slots=True)
class _Spinner:
    """Shows the present stage, and how far it is where it says so."""

    bar: Progress
    task: TaskID
    stage: str = "start"

    def __call__(self, stage: str) -> None:
        self.stage = stage
        self.bar.update(self.task, description=stage)

    def part(self, done: int, total: int) -> None:
        self.bar.update(self.task, description=f"{self.stage} {done:,} of {total:,}")


def _stage_lines() -> Callable[[str], None]:
    start = time.perf_counter()
    seen: set[str] = set()

    def show(stage: str) -> None:
        if stage not in seen:
            seen.add(stage)
            click.echo(f"{time.perf_counter() - start:6.2f} s  {stage}", err=True)

    return show
