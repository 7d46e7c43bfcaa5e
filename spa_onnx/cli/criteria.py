"""``spa-onnx bench criteria``: ways of pruning side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from spa_onnx.cli.files import check_texts, write_text
from spa_onnx.cli.options import FILE
from spa_onnx.cli.terminal import console
from spa_onnx.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from spa_onnx.bench.criteria.unit import BudgetName, Outcome, Unit

WRITERS = {".md": "markdown", ".csv": "as_csv", ".json": "as_json"}


@click.command()
@click.argument("models", nargs=-1, required=True, type=FILE, metavar="MODEL...")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    default=("magnitude", "data-free"),
    show_default=True,
    metavar="NAME|FILE.toml",
    help="Way of pruning: a recipe, a file, or the name of an importance pass. Repeatable.",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    default=("keep-flops=0.7", "keep-flops=0.5"),
    show_default=True,
    metavar="KIND=SHARE",
    help="ratio, keep-flops, keep-params, keep-size or max-latency. Repeatable.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="0 to N-1.")
@click.option(
    "--calib",
    type=FILE,
    metavar="PATH",
    help="Calibration inputs; {seed} in the path stands for the seed.",
)
@click.option(
    "--evaluate",
    default="",
    metavar="FILE.py:FUNCTION",
    help="Takes the path of a model and returns its score, higher is better.",
)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="A running Dask cluster instead.")
@click.option(
    "--results",
    type=FILE,
    default=Path("criteria.jsonl"),
    show_default=True,
    help="Every outcome; the same command goes on from there.",
)
@click.option(
    "-o", "--output", "outputs", multiple=True, type=FILE, metavar="TABLE.md|.csv|.json",
    help="Repeatable; without it the table is printed.",
)  # fmt: skip
@click.option("--plots", type=FILE, metavar="FOLDER", help="Draw scores.")
@click.option(
    "--against",
    type=click.Choice(("operations", "latency")),
    default="operations",
    show_default=True,
    help="What --plots draws scores against.",
)
@click.option("--quiet", is_flag=True, help="Do not tell of each unit.")
def criteria(
    models: tuple[Path, ...],
    recipes: tuple[str, ...],
    budgets: tuple[str, ...],
    seeds: int,
    calib: Path | None,
    evaluate: str,
    jobs: int,
    scheduler: str | None,
    results: Path,
    outputs: tuple[Path, ...],
    plots: Path | None,
    against: str,
    quiet: bool,
) -> None:
    """Prune every MODEL by every recipe to every budget, and compare what is left."""
    from spa_onnx.bench.criteria.plot import draw
    from spa_onnx.bench.criteria.run import run_units

    for path in outputs:
        if path.suffix not in WRITERS:
            raise UsageError(f"{path}: tables are {', '.join(WRITERS)}")
    texts = {"--results": results} | {f"--output {path}": path for path in outputs}
    check_texts(texts, {f"model {path}": path for path in models})
    units = units_of(models, recipes, budgets, seeds, calib, evaluate)

    def tell(outcome: Outcome, done: int, total: int) -> None:
        if not quiet:
            click.echo(f"[{done}/{total}] {_line(outcome)}", err=True)

    with _executor(jobs, scheduler) as executor:
        outcomes = run_units(units, executor, results, tell)
    for path in outputs:
        write_text(path, _page(outcomes, path.suffix))
    if not outputs:
        with console() as screen:
            screen.print(_page(outcomes, ".md"), markup=False)
    if plots is not None:
        draw(outcomes, plots, against)


def _executor(jobs: int, scheduler: str | None) -> AbstractContextManager[Executor]:
    from spa_onnx.bench.criteria.run import cluster, processes

    return processes(jobs) if scheduler is None else cluster(scheduler)


def units_of(
    models: Sequence[Path],
    recipes: Sequence[str],
    budgets: Sequence[str],
    seeds: int,
    calib: Path | None,
    evaluate: str,
) -> list[Unit]:
    """Return all units; what no unit could use is an error here already."""
    from spa_onnx.bench.criteria.evaluate import find_evaluation
    from spa_onnx.bench.criteria.unit import Unit
    from spa_onnx.bench.identity import content_of, this_compiler
    from spa_onnx.recipe import parse_recipe

    if evaluate:
        find_evaluation(evaluate)
        place, _, function = evaluate.rpartition(":")
        if place.endswith(".py"):  # workers may run in another folder
            evaluate = f"{Path(place).resolve()}:{function}"
    version = this_compiler().version
    texts = [_recipe(name) for name in recipes]
    shares = [_budget(text) for text in budgets]
    files = {seed: _calibration(calib, seed) for seed in range(seeds)}
    free = {text for name, text in texts if parse_recipe(text, name).inputs == "made up"}
    return [
        Unit(str(model.resolve()), content_of(model).digest, name, text, kind, amount, seed,
             *(("", "") if text in free else files[seed]), evaluate, version)
        for model in models
        for kind, amount in shares
        for name, text in texts
        for seed in range(seeds)
    ]  # fmt: skip


def _calibration(path: Path | None, seed: int) -> tuple[str, str]:
    """Return the path of the calibration inputs for a seed, and what they hold."""
    if path is None:
        return "", ""
    place = Path(str(path).replace("{seed}", str(seed)))
    return str(place.resolve()), _digest(place)


def _recipe(name: str) -> tuple[str, str]:
    """Return name and text of a recipe; the name of an importance pass is a recipe of that alone.

    Raises:
        UsageError: it is neither.
    """
    from spa_onnx.recipe import find_recipe, installed_recipes, parse_recipe, read_recipe
    from spa_onnx.registry import installed

    if name.endswith(".toml"):
        recipe = read_recipe(name)
        name = Path(name).stem
    elif name in installed_recipes() or name not in installed("importance"):
        recipe = find_recipe(name)
    else:
        recipe = parse_recipe(f'[importance]\npass = "{name}"\n', name)
    for kind in recipe.passes:
        recipe.make(kind)
    return name, recipe.text


def _budget(text: str) -> tuple[BudgetName, float]:
    """Return kind and share of a budget such as ``keep-flops=0.7``.

    Raises:
        UsageError: it is none.
    """
    from spa_onnx.bench.criteria.unit import BUDGETS

    kind, _, share = text.partition("=")
    try:
        amount = float(share)
    except ValueError:
        amount = -1.0
    if kind not in BUDGETS or amount < 0:
        raise UsageError(f"budget {text!r} is none of {', '.join(f'{k}=0.5' for k in BUDGETS)}")
    BUDGETS[kind](amount)
    return cast("BudgetName", kind), amount


def _digest(path: Path) -> str:
    """Return what tells calibration inputs apart: names and sizes of files, and their dates."""
    import hashlib

    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    try:
        facts = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]
    except OSError as failure:
        raise UsageError(f"{path} cannot be read ({failure.strerror})") from failure
    if not facts:
        raise UsageError(f"{path}: no such file, or an empty folder")
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _line(outcome: Outcome) -> str:
    what = f"{outcome.model} {outcome.recipe} {outcome.budget}={outcome.amount:g} #{outcome.seed}"
    if outcome.failure:
        return f"{what}: {outcome.failure.splitlines()[0]}"
    score = "" if outcome.score is None else f"{outcome.dense:.2f} -> {outcome.score:.2f}, "
    return f"{what}: {score}{outcome.operations:.1%} of the operations, {outcome.seconds:.1f} s"


def _page(outcomes: Sequence[Outcome], suffix: str) -> str:
    from spa_onnx.bench.criteria import table
    from spa_onnx.bench.identity import this_compiler

    if suffix != ".md":
        text: str = getattr(table, WRITERS[suffix])(outcomes)
        return text
    own = this_compiler()
    commit = f", commit {own.commit}" if own.commit else ""
    versions = f"spa-onnx {own.version.split()[0]}{commit}, {own.libraries}"
    return table.markdown(outcomes, _command(), versions)


def _command() -> str:
    """Return the command line as it was given, with file names for paths."""
    context = click.get_current_context()
    words = ["spa-onnx bench criteria"]
    for parameter in context.command.params:
        value = context.params[parameter.name or ""]
        if parameter.name in ("results", "quiet", "jobs", "scheduler") or value in (None, (), ""):
            continue
        if value == parameter.get_default(context):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            option = [] if isinstance(parameter, click.Argument) else [parameter.opts[0]]
            words += [*option, one.name if isinstance(one, Path) else str(one)]
    return " ".join(words)
