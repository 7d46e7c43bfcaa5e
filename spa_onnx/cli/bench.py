"""``spa-onnx bench``: what comes of many models."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spa_onnx.cli.criteria import criteria
from spa_onnx.cli.files import check_texts, write_text
from spa_onnx.cli.kernels import kernels
from spa_onnx.cli.latency import latency
from spa_onnx.cli.models import told
from spa_onnx.cli.options import FILE, verify_option
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from spa_onnx.bench.peers import Peers
    from spa_onnx.bench.rows import Row
    from spa_onnx.bench.run import Settings
    from spa_onnx.bench.zoo import Absent, Listed

BELOW = 6
"""Exit code where a model is below what is expected of it."""

GIGABYTE = 10**9
SHOWN = 4
"""Names in a command line that a page repeats."""


@click.group()
def bench() -> None:
    """Run many models and tell what came of them."""


bench.add_command(criteria)
bench.add_command(kernels)
bench.add_command(latency)


@bench.command()
@click.argument("models", nargs=-1, required=True, type=FILE, metavar="ZOO.json|MODEL...")
@click.option("--ratio", default=0.5, show_default=True, help="Remove this share of every dim.")
@click.option(
    "--importance",
    multiple=True,
    default=("l2",),
    show_default=True,
    help="Pass that scores lanes. Repeatable: every model runs with each.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes at a time."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds for one model.",
)
@click.option(
    "--memory-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="GB",
    help="Memory that one process may allocate.",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Models of this name. Repeatable.")
@click.option("-o", "--output", type=FILE, metavar="TABLE.md", help="Table; else it is printed.")
@click.option(
    "--results",
    type=FILE,
    metavar="RESULTS.jsonl",
    help="Every result, kept for the next run.  [default: beside the table, or coverage.jsonl]",
)
@click.option("--peers", type=FILE, metavar="PEERS.jsonl", help="Results of other tools.")
@click.option("--again", is_flag=True, help="Run models again that have a result.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False, writable=True),
    help="Folder in which pruned models lie for a moment.  [default: the system's]",
)
@verify_option
@click.option("--quiet", is_flag=True, help="Do not tell of each model.")
@click.pass_context
def coverage(
    ctx: click.Context,
    models: tuple[Path, ...],
    ratio: float,
    importance: tuple[str, ...],
    jobs: int,
    timeout: float,
    memory_limit: float | None,
    only: tuple[str, ...],
    output: Path | None,
    results: Path | None,
    peers: Path | None,
    again: bool,
    scratch: Path | None,
    proved: bool,
    quiet: bool,
) -> None:
    """Prune every model in a process of its own and write a table.

    ZOO.json is a list that models/zoo.py makes, with what is expected of each model. A crash, a
    time-out and a lack of memory are rows like any other. Exit code 6 says that a model is below
    what is expected of it.
    """
    from spa_onnx.bench.run import Settings

    if results is None:
        results = output.with_suffix(".jsonl") if output else Path("coverage.jsonl")
    texts = {"--output": output, "--results": results}
    inputs = {f"input {path}": path for path in (*models, *filter(None, [peers]))}
    check_texts({k: v for k, v in texts.items() if v is not None}, inputs)
    settings = Settings(
        ratio,
        tuple(dict.fromkeys(importance)),
        proved,
        jobs,
        timeout,
        round((memory_limit or 0) * GIGABYTE),
        scratch,
        again,
    )
    listed, absent, zoo_ratio = _listed(models, only)
    beside = _peers(peers, listed)
    rows = _run(listed, settings, results, zoo_ratio in (None, ratio), quiet)
    text = _page(rows, settings, _command(ctx, models), absent, beside)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)
    below = sum(bool(row.shortfall) for part in rows.values() for row in part)
    if below:
        click.echo(f"{below} below what is expected; the table lists them", err=True)
        ctx.exit(BELOW)


def _listed(
    models: Sequence[Path], only: Sequence[str]
) -> tuple[list[Listed], tuple[Absent, ...], float | None]:
    """Return the models, the families that were not made, and the ratio of the expectations.

    Raises:
        UsageError: a list together with anything else, or no model of these names.
    """
    from spa_onnx.bench.zoo import plain_files, read_zoo

    absent: tuple[Absent, ...] = ()
    ratio = None
    if any(path.suffix == ".json" for path in models):
        if len(models) > 1:
            raise UsageError("give one list of models, or files of models, not both")
        zoo, listed = read_zoo(models[0])
        absent, ratio = zoo.absent, zoo.ratio
    else:
        listed = plain_files(models)
    if only:
        listed = [one for one in listed if any(fnmatchcase(one.entry.name, p) for p in only)]
    if not listed:
        raise UsageError("there is no model of these names" if only else "the list is empty")
    return listed, absent, ratio


def _peers(path: Path | None, listed: Sequence[Listed]) -> Peers:
    """Return the results of other tools; a broken file is better found before the models run."""
    from spa_onnx.bench.peers import read_peers

    if path is None:
        return {}
    found, others = read_peers(path, [one.entry.name for one in listed])
    if others:
        click.echo(f"lines of {path} about models that are not listed: {others}", err=True)
    return found


def _run(
    listed: Sequence[Listed], settings: Settings, results: Path, expects_share: bool, quiet: bool
) -> dict[str, list[Row]]:
    """Run everything and return rows in the order of the list, by importance pass."""
    from spa_onnx.allocate.budget import Ratio
    from spa_onnx.bench.identity import this_compiler
    from spa_onnx.bench.rows import Row
    from spa_onnx.bench.run import Turn, run_all
    from spa_onnx.bench.store import Store
    from spa_onnx.registry import find_pass

    Ratio(settings.ratio)  # what no model could use is an error here and not a row
    for name in settings.importance:
        find_pass("importance", name)
    turns = {
        (name, k): Turn(one.entry.name, one.path, name)
        for name in settings.importance
        for k, one in enumerate(listed)
        if one.path is not None
    }
    store = Store(results)
    try:
        with told(len(turns), quiet) as observer:
            found = run_all(list(turns.values()), settings, this_compiler(), store, observer)
    except (KeyboardInterrupt, SystemExit):
        click.echo(
            f"What was finished is in {results}; the same command goes on from there.", err=True
        )
        raise
    return {
        name: [
            Row(one.entry, found[turns[name, k]] if (name, k) in turns else None, expects_share)
            for k, one in enumerate(listed)
        ]
        for name in settings.importance
    }


def _page(
    rows: dict[str, list[Row]],
    settings: Settings,
    command: str,
    absent: tuple[Absent, ...],
    peers: Peers,
) -> str:
    from spa_onnx.bench.identity import this_compiler
    from spa_onnx.bench.table import Page, render

    own = this_compiler()
    commit = f", commit {own.commit}" if own.commit else ""
    versions = f"spa-onnx {own.version.split()[0]}{commit}, {own.libraries}"
    return render(Page(command, versions, settings.ratio, settings.proved, absent, peers), rows)


def _command(ctx: click.Context, models: Sequence[Path]) -> str:
    """Return the command line with the options that differ from their defaults."""
    names = [path.name for path in models[:SHOWN]] + ["..."] * (len(models) > SHOWN)
    words = ["spa-onnx bench coverage", *names]
    for parameter in ctx.command.params:
        value = ctx.params[parameter.name or ""]
        if parameter.name in ("models", "scratch", "quiet", "again", "results"):
            continue
        if value == parameter.get_default(ctx) or value in (None, ()):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words.append(parameter.opts[0])
            if not isinstance(one, bool):
                words.append(one.name if isinstance(one, Path) else f"{one}".removesuffix(".0"))
    return " ".join(words)
