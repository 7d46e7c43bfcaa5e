"""``spa-onnx bench kernels``: sparse layers beside ONNX Runtime's dense ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spa_onnx.cli.files import check_texts, write_text
from spa_onnx.cli.options import FILE, bench_threads_option, quiet_option
from spa_onnx.cli.terminal import console

if TYPE_CHECKING:
    from spa_onnx.bench.kernels.cases import Row
    from spa_onnx.bench.kernels.measure import Bench
    from spa_onnx.bench.kernels.roofline import Roofline


@click.command()
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
@click.option("--half", is_flag=True, help="Store values as float16.")
@click.option("--json", "as_json", type=FILE, metavar="FILE.json", help="Write all figures.")
@click.option("-o", "--output", type=FILE, metavar="TABLE.md", help="Table; else it is printed.")
@click.option("--list", "listing", is_flag=True, help="Tell of the groups and do nothing else.")
@quiet_option
@click.pass_context
def kernels(
    ctx: click.Context,
    groups: tuple[str, ...],
    patterns: tuple[str, ...],
    sparsities: tuple[float, ...],
    threads: int,
    rounds: int,
    half: bool,
    as_json: Path | None,
    output: Path | None,
    listing: bool,
    quiet: bool,
) -> None:
    """Time sparse layers of well-known models against ONNX Runtime's fastest dense ones.

    Nothing else should run meanwhile. The processor's own time is taken for one thread, wall-clock
    time for more.
    """
    from spa_onnx.bench.kernels.cases import cases, run
    from spa_onnx.bench.kernels.measure import Bench
    from spa_onnx.bench.kernels.roofline import Roofline
    from spa_onnx.bench.kernels.shapes import find_groups
    from spa_onnx.runtime.library import library_path

    chosen = find_groups(groups)
    listed = list(cases(chosen, patterns, sparsities))
    if listing:
        for group in chosen:
            click.echo(f"{group.name}: {', '.join(group.patterns)}")
            for layer in group.layers:
                click.echo(f"    {layer}")
        return
    texts = {"--json": as_json, "--output": output}
    check_texts({option: path for option, path in texts.items() if path is not None}, {})
    library_path()
    bench = Bench(threads, rounds, half)
    with _told(len(listed), quiet) as tell:
        roofline = Roofline.measured(threads)
        rows = run(listed, bench, roofline, tell)
    _write(rows, bench, roofline, _command(ctx), as_json, output)


def _write(
    rows: list[Row],
    bench: Bench,
    roofline: Roofline,
    command: str,
    as_json: Path | None,
    output: Path | None,
) -> None:
    from spa_onnx.bench.identity import this_compiler
    from spa_onnx.bench.kernels.as_json import kernels_json
    from spa_onnx.bench.kernels.page import Page, how_measured, markdown, print_rows
    from spa_onnx.doctor.processor import processor, threads

    how = how_measured(bench, roofline)
    if as_json is not None:
        write_text(as_json, kernels_json(rows, bench, roofline, command))
    if output is None:
        with console() as screen:
            print_rows(screen, rows, how)
        return
    own = this_compiler()
    commit = f", commit {own.commit}" if own.commit else ""
    versions = f"spa-onnx {own.version.split()[0]}{commit}, {own.libraries}"
    page = Page(command, versions, f"{processor()}, {threads()}")
    write_text(output, markdown(page, rows, how))


@contextmanager
def _told(total: int, quiet: bool) -> Generator[Callable[[Row, int], None]]:
    """Yield who tells of layers: lines, on a terminal above a bar."""
    from spa_onnx.bench.kernels.page import sentence

    if quiet:
        yield lambda _row, _done: None
    elif sys.stderr.isatty():
        with _bar(total) as tell:
            yield tell
    else:
        yield lambda row, done: click.echo(f"[{done}/{total}] {sentence(row)}", err=True)


@contextmanager
def _bar(total: int) -> Generator[Callable[[Row, int], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from spa_onnx.bench.kernels.page import sentence

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with console(stderr=True) as screen, Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(row: Row, done: int) -> None:
            bar.console.print(sentence(row))
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
