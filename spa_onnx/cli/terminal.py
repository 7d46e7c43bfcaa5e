"""Consoles and progress: lively on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

FILE_WIDTH = 200
"""Columns of a table in a file, where nothing needs to fit a window."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints names as they are, brackets and all."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else FILE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield an observer of stages: a spinner with a clock on a terminal, a line for each elsewhere.

    Standard output stays free for results.
    """
    if quiet:
        yield lambda _stage: None
    elif sys.stderr.isatty():
        with _spinner() as show:
            yield show
    else:
        yield _stage_lines()


@contextmanager
def _spinner() -> Iterator[Callable[[str], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task("start", total=None)
        yield lambda stage: bar.update(task, description=stage)


def _stage_lines() -> Callable[[str], None]:
    start = time.perf_counter()
    seen: set[str] = set()

    def show(stage: str) -> None:
        if stage not in seen:
            seen.add(stage)
            click.echo(f"{time.perf_counter() - start:6.2f} s  {stage}", err=True)

    return show
