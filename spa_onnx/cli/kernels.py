"""``spa-onnx bench kernels``: sparse layers beside dense ones, on the processor or a GPU."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spa_onnx.cli.files import check_texts, write_text
from spa_onnx.cli.options import FILE, bench_threads_option, quiet_option
from spa_onnx.cli.terminal import console
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from spa_onnx.bench.kernels.outcome import Asked, Outcome, Target, Tell
    from spa_onnx.runtime.cuda import Half


@click.command()
@click.option(
    "--target",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="What layers run on.",
)
@click.option("--group", "groups", multiple=True, metavar="NAME", help="Of layers. Repeatable.")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    metavar="PATTERN",
    help="unstructured, block:PxQ or N:M. Repeatable.  [default: those that suit a group]",
)
@click.option(
    "--sparsity",
    "sparsities",
    multiple=True,
    type=click.FloatRange(0, 1, max_open=True),
    default=(0.5, 0.8, 0.9),
    show_default=True,
    metavar="SHARE",
    help="Share of zeros. Repeatable.",
)
@bench_threads_option
@click.option(
    "--rounds",
    type=click.IntRange(1),
    default=9,
    show_default=True,
    metavar="N",
    help="Turns of every session that count.",
)
@click.option("--half", is_flag=True, help="Store values as float16; for --target cpu.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(["float16", "bfloat16"]),
    help="Of all tensors, for --target cuda. Repeatable.  [default: both]",
)
@click.option(
    "--every-kernel",
    is_flag=True,
    help="Time all kernels that can run a layer, too; for --target cuda.",
)
@click.option("--json", "as_json", type=FILE, metavar="FILE.json", help="Write all figures.")
@click.option("-o", "--output", type=FILE, metavar="TABLE.md", help="Table; else it is printed.")
@click.option("--list", "listing", is_flag=True, help="Tell of the groups and do nothing else.")
@quiet_option
@click.pass_context
def kernels(
    ctx: click.Context,
    target: str,
    groups: tuple[str, ...],
    patterns: tuple[str, ...],
    sparsities: tuple[float, ...],
    threads: int,
    rounds: int,
    half: bool,
    types: tuple[Half, ...],
    every_kernel: bool,
    as_json: Path | None,
    output: Path | None,
    listing: bool,
    quiet: bool,
) -> None:
    """Time sparse layers of well-known models against the fastest dense ones.

    On the processor these are ONNX Runtime's; its own time is taken for one thread, wall-clock
    time for more. On a GPU they are cuBLASLt's, timed by the device's events. Nothing else should
    run meanwhile.
    """
    from spa_onnx.bench.kernels.outcome import Asked

    asked = Asked(groups, patterns, sparsities)
    if target == "cuda":
        if threads != 1 or half:
            raise UsageError("--threads and --half go with --target cpu only")
        chosen = _on_gpu(asked, types, rounds, every_kernel=every_kernel)
    else:
        if types or every_kernel:
            raise UsageError("--type and --every-kernel go with --target cuda only")
        chosen = _on_cpu(asked, threads, rounds, half=half)
    if listing:
        _list(chosen)
        return
    texts = {"--json": as_json, "--output": output}
    check_texts({option: path for option, path in texts.items() if path is not None}, {})
    chosen.check()
    command = _command(ctx)
    with _told(chosen.count, quiet) as tell:
        outcome = chosen.run(command, tell)
    _write(outcome, command, as_json, output)


def _on_cpu(asked: Asked, threads: int, rounds: int, *, half: bool) -> Target:
    from spa_onnx.bench.kernels.measure import Bench
    from spa_onnx.bench.kernels.on_cpu import OnCpu

    return OnCpu.of(asked, Bench(threads, rounds, half))


def _on_gpu(asked: Asked, types: tuple[Half, ...], rounds: int, *, every_kernel: bool) -> Target:
    from spa_onnx.bench.kernels.cuda.on_gpu import OnGpu

    return OnGpu.of(asked, types, rounds, every_kernel=every_kernel)


def _list(target: Target) -> None:
    for group in target.groups:
        click.echo(f"{group.name}: {', '.join(group.patterns)}")
        for layer in group.layers:
            click.echo(f"    {layer}")


def _write(outcome: Outcome, command: str, as_json: Path | None, output: Path | None) -> None:
    from spa_onnx.bench.identity import this_compiler
    from spa_onnx.bench.kernels.page import Page, markdown, print_sheet

    if as_json is not None:
        write_text(as_json, outcome.json)
    if output is None:
        with console() as screen:
            print_sheet(screen, outcome.sheet, outcome.how)
        return
    own = this_compiler()
    commit = f", commit {own.commit}" if own.commit else ""
    versions = f"spa-onnx {own.version.split()[0]}{commit}, {own.libraries}"
    page = Page(command, versions, outcome.machine)
    write_text(output, markdown(page, outcome.sheet, outcome.how))


@contextmanager
def _told(total: int, quiet: bool) -> Generator[Tell]:
    """Yield who tells of layers: lines, on a terminal above a bar."""
    if quiet:
        yield lambda _text, _done: None
    elif sys.stderr.isatty():
        with _bar(total) as tell:
            yield tell
    else:
        yield lambda text, done: click.echo(f"[{done}/{total}] {text}", err=True)


@contextmanager
def _bar(total: int) -> Generator[Tell]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with console(stderr=True) as screen, Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(text: str, done: int) -> None:
            bar.console.print(text)
            bar.update(task, completed=done)

        yield tell


def _command(ctx: click.Context) -> str:
    """Return the command line with the options that differ from their defaults."""
    words = ["spa-onnx bench kernels"]
    for parameter in ctx.command.params:
        value = ctx.params[parameter.name or ""]
        if parameter.name == "quiet" or value == parameter.get_default(ctx) or value is None:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words.append(parameter.opts[-1])
            if not isinstance(one, bool):
                words.append(one.name if isinstance(one, Path) else f"{one}".removesuffix(".0"))
    return " ".join(words)
