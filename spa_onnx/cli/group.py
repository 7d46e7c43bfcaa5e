"""The command ``spa-onnx``: what its sub-commands share, and the one place that ends a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import click

from spa_onnx import __version__
from spa_onnx.cli.analyze import analyze
from spa_onnx.cli.apply import apply
from spa_onnx.cli.bench import bench
from spa_onnx.cli.doctor import doctor
from spa_onnx.cli.lower import lower
from spa_onnx.cli.passes import passes
from spa_onnx.cli.prune import prune
from spa_onnx.cli.sparsify import sparsify
from spa_onnx.cli.verify import verify
from spa_onnx.errors import SpaError

INTERNAL, UNUSABLE = 1, 3
"""Exit codes of our own mistakes, and of files that the system does not let us read or write."""

INTERRUPTED, BROKEN_PIPE, TERMINATED = (128 + n for n in (2, 13, 15))
"""Exit codes as a shell reports them for SIGINT, SIGPIPE and SIGTERM."""


class _Commands(click.Group):
    """Turns every way in which a command can end into one message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the sub-command that the arguments name."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # names in a model may not fit the terminal
                stream.reconfigure(errors="backslashreplace")
        try:
            with _terminable():
                result = super().invoke(ctx)
                sys.stdout.flush()
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except KeyboardInterrupt:
            _end(ctx, "interrupted", INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the flush at exit must not fail again
            ctx.exit(BROKEN_PIPE)
        except Exception as failure:
            if ctx.params["debug"]:
                raise
            _end(ctx, *_explain(failure))
        return result


def _explain(failure: Exception) -> tuple[str, int]:
    """Return what to tell the user of a failure, and the exit code."""
    if isinstance(failure, SpaError):
        return ". ".join([str(failure), *getattr(failure, "__notes__", [])]), failure.exit_code
    if isinstance(failure, OSError):
        return str(failure), UNUSABLE
    if isinstance(failure, MemoryError):
        return "out of memory", UNUSABLE
    text = (
        f"unexpected {type(failure).__name__}: {failure}. Run `spa-onnx --debug ...` to see where; "
        "unless a pass of your own failed, please report it"
    )
    return text, INTERNAL


def _end(ctx: click.Context, message: str, code: int) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    ctx.exit(code)


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM unwind the stack, so that temporary files are removed."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@click.group("spa-onnx", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="spa-onnx")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Structured pruning of ONNX models, proved on every run.

    Exit codes: 0 done, 2 usage, 3 the model cannot be used, 4 the proof failed, 5 the budget
    cannot be met, 6 a benched model is below what is expected, 7 doctor found something.
    """


for command in (prune, sparsify, apply, analyze, verify, lower, passes, bench, doctor):
    main.add_command(command)
