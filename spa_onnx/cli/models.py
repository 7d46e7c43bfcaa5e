"""Tell of many models while they run: a bar on a terminal, plain lines in a file."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from spa_onnx.cli.terminal import console

if TYPE_CHECKING:
    from spa_onnx.bench.result import Result
    from spa_onnx.bench.run import Observer


class _Silent:
    """Tells nothing."""

    def started(self, model: str) -> None:
        pass

    def ended(self, result: Result, known: bool) -> None:
        pass


class _Lines(_Silent):
    """Prints a line for each model that ran; those with a result are counted at the end."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.known = total, 0, 0

    def ended(self, result: Result, known: bool) -> None:
        self.done += 1
        self.known += known
        if not known:
            click.echo(f"[{self.done}/{self.total}] {describe(result)}", err=True)


def describe(result: Result) -> str:
    """Return a result in a few words."""
    removed = "" if result.removed is None else f" {100 * result.removed:.1f} %"
    return f"{result.model}: {result.outcome}{removed}, {result.wall:.1f} s"


@contextmanager
def told(total: int, quiet: bool) -> Generator[Observer]:
    """Yield who tells of models: a bar on a terminal, else lines."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(total) as observer:
            yield observer
    else:
        lines = _Lines(total)
        yield lines
        if lines.known:
            click.echo(f"{lines.known} of {total} had a result already", err=True)


@contextmanager
def _bar(total: int) -> Generator[Observer]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with console(stderr=True) as screen, Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)
        running: dict[str, None] = {}

        class Observer(_Silent):
            def started(self, model: str) -> None:
                running[model] = None
                bar.update(task, description=", ".join([*running][:3]))

            def ended(self, result: Result, known: bool) -> None:
                running.pop(result.model, None)
                bar.update(task, advance=1, description=", ".join([*running][:3]))
                if result.outcome not in ("proved", "not proved"):
                    bar.console.print(describe(result))

        yield Observer()
