"""Measure what other pruning tools reach on the models of a zoo, next to spa-onnx or alone.

    python models/peers.py ZOO -o peers.jsonl
    python models/peers.py ZOO -o peers.jsonl --tool torch-pruning --model 'timm/*'
    python models/peers.py ZOO -o beside.jsonl --beside-ours

ZOO holds folders of exported models as the zoo scripts write them. onnxsim prunes one file per
model, after simplifying it or not (``onnxsim-plain``); Torch-Pruning prunes the module that the zoo
script builds, with the same inputs, as it is or with the hints by hand that its examples give
(``torch-pruning-hints``). Every model is pruned in a process of its own and is one line of JSON; a
crash or a time-out is a line too, and what an earlier run left in the file is not run again.
Needs the `bench` extra.

``--beside-ours`` instead times Torch-Pruning's graph building and pruning against analysis and
rewriting of spa-onnx, interleaved in one process on one thread: medians of three rounds.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Literal

import click
from isolated import Figures, Outcome, Stages, one_line, run_isolated

Tool = Literal["torch-pruning", "torch-pruning-hints", "onnxsim", "onnxsim-plain", "spa-onnx"]
TOOLS: tuple[Tool, ...] = ("torch-pruning", "torch-pruning-hints", "onnxsim", "onnxsim-plain")
HINTS, PLAIN = "-hints", "-plain"
PRUNING = ("graph", "prune", "heads", "channels", "formats")
"""Stages of the tools that count as pruning: analysis and rewriting."""
TORCH_FOLDERS = ("own", "timm", "torchvision", "torchvision_more", "transformers")
EXPORTERS = ("legacy", "dynamo")
VARIANTS = ("", ".dynamo", ".batch", ".open", ".dynamo.open")
"""Endings that the zoo scripts add to a model's name; of several files the first is taken."""
RATIO = 0.5
ENOUGH = 0.05
"""Share of the parameters that has to go for a model to count as pruned."""
GIGABYTE = 2**30
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the tool to prune it with.

    Attributes:
        model: ``folder/name``.
        file: of its export.
        tool: which one.
        beside: whether both tools are timed.
    """

    model: str
    file: Path
    tool: Tool
    beside: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case: a line of the result.

    Attributes:
        model: ``folder/name``.
        tool: which one.
        version: of the tool.
        file: the export, below the zoo's folder; what Torch-Pruning reads is built instead.
        valid: whether the pruned model runs and its outputs have the shapes that they had.
        removed: share of the parameters, for valid results.
        seconds: of analysis and rewriting; None where they did not end.
        stages: seconds of everything that was done.
        error: what went wrong, after the stage in which it did.
        timed_out: whether the tool was ended for taking too long.
    """

    model: str
    tool: Tool
    version: str
    file: str
    valid: bool
    removed: float | None
    seconds: float | None
    stages: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    timed_out: bool = False

    @property
    def usable(self) -> bool:
        """Return whether the model ran before it was pruned."""
        return not (self.error or "").startswith("original:")

    @property
    def success(self) -> bool:
        """Return whether the result is valid and something was removed."""
        return self.valid and (self.removed or 0.0) >= ENOUGH


def named(path: Path, zoo: Path) -> tuple[str, int]:
    """Return ``folder/name`` of a file, and how little its variant is preferred."""
    *folders, name = path.relative_to(zoo).with_suffix("").parts
    rank = EXPORTERS.index(folders.pop()) if folders and folders[-1] in EXPORTERS else 0
    variant = next(v for v in sorted(VARIANTS, key=len, reverse=True) if name.endswith(v))
    return "/".join([*folders, name.removesuffix(variant)]), rank + VARIANTS.index(variant)


def models_of(zoo: Path) -> dict[str, Path]:
    """Return one file for each model of a zoo: the legacy exporter's, or else another."""
    best: dict[str, tuple[int, Path]] = {}
    for folder in sorted(path for path in zoo.iterdir() if path.is_dir()):  # links are followed
        for path in sorted(folder.rglob("*.onnx")):
            name, rank = named(path, zoo)
            best[name] = min(best.get(name, (rank, path)), (rank, path))
    return {name: path for name, (_, path) in sorted(best.items())}


def cases_of(zoo: Path, tools: Sequence[Tool], pattern: str, beside: bool) -> Iterator[Case]:
    """Yield what to run: Torch-Pruning only on models that a script for PyTorch builds."""
    for name, path in models_of(zoo).items():
        for tool in tools:
            known = tool.startswith("onnxsim") or name.split("/")[0] in TORCH_FOLDERS
            if known and fnmatch.fnmatchcase(name, pattern):
                yield Case(name, path, tool, beside)


def prune(case: Case, stages: Stages) -> Figures:
    """Do a case, in its process."""
    folder, name = case.model.split("/", 1)
    if case.beside:
        from peer_timing import time_beside

        return time_beside(folder, name, case.file, RATIO, ROUNDS, stages)
    if case.tool.startswith("onnxsim"):
        from peer_onnxsim import prune_file

        return prune_file(case.file, RATIO, stages, simplified=not case.tool.endswith(PLAIN))
    from peer_torch_pruning import prune_model

    return prune_model(folder, name, RATIO, stages, hinted=case.tool.endswith(HINTS))


def row_of(case: Case, outcome: Outcome, zoo: Path) -> Row:
    """Return the line for an outcome."""
    done = [outcome.stages[stage] for stage in PRUNING if stage in outcome.stages]
    pruned = outcome.figures is not None or outcome.stage == "check"
    row = partial(
        Row, case.model, case.tool, version_of(case.tool), str(case.file.relative_to(zoo))
    )
    seconds = sum(done) if pruned else None
    if outcome.figures is None:
        error = f"{outcome.stage}: {outcome.error}"
        return row(False, None, seconds, outcome.stages, error, outcome.timed_out)
    removed = 1 - outcome.figures["after"] / max(1, outcome.figures["before"])
    return row(True, removed, seconds, outcome.stages)


def rows_beside(case: Case, outcome: Outcome, zoo: Path) -> list[Row]:
    """Return both tools' lines for one interleaved measurement."""
    if outcome.figures is None:
        return [row_of(case, outcome, zoo)]
    file = str(case.file.relative_to(zoo))
    return [
        Row(case.model, tool, version_of(tool), file, True, None, outcome.figures[tool], stages)
        for tool, stages in outcome.figures["stages"].items()
    ]


def version_of(tool: Tool) -> str:
    """Return the installed version of a tool."""
    try:
        return version(tool.removesuffix(HINTS).removesuffix(PLAIN))
    except PackageNotFoundError:
        return "not installed"


def finished(log: Path) -> list[Row]:
    """Return the rows that earlier runs left; of several for one model and tool the last counts."""
    if not log.exists():
        return []
    rows = [Row(**json.loads(line)) for line in log.read_text().splitlines()]
    return list({(row.model, row.tool): row for row in rows}.values())


def run_all(
    cases: Iterable[Case], zoo: Path, log: Path, limit: float, memory: int, jobs: int, again: bool
) -> None:
    """Run the cases that no earlier run finished, and write a line for each as it ends."""
    done = {(row.model, row.tool) for row in finished(log) if not (again and row.error)}
    waiting = [case for case in cases if (case.model, case.tool) not in done]
    with log.open("a") as file:
        for case, outcome in run_isolated(prune, waiting, limit, memory, jobs):
            rows = rows_beside if case.beside else lambda *facts: [row_of(*facts)]
            for row in rows(case, outcome, zoo):
                file.write(json.dumps(asdict(row)) + "\n")
                file.flush()
                share = "" if row.removed is None else f" {100 * row.removed:.1f} %"
                click.echo(one_line(f"{row.model} {row.tool}{share} {row.error or ''}"), err=True)


HEADER = """\
| tool | models | valid | pruned | removed, median | seconds, median | time-outs | not usable |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def summary(rows: Sequence[Row]) -> str:
    """Return one line of a table for each tool.

    Pruned means valid and at least ``ENOUGH`` removed; the medians are over these.
    """
    lines = [HEADER]
    for tool in dict.fromkeys(row.tool for row in rows):
        mine = [row for row in rows if row.tool == tool]
        tried = [row for row in mine if row.usable]
        good = [row for row in tried if row.success]
        shares = [
            f"{100 * n / max(1, len(tried)):.0f} %"
            for n in (sum(r.valid for r in tried), len(good))
        ]
        removed = f"{100 * median(row.removed or 0.0 for row in good):.1f} %" if good else ""
        seconds = f"{median(row.seconds or 0.0 for row in good):.2f}" if good else ""
        late = sum(row.timed_out for row in tried)
        cells = (tool, len(tried), *shares, removed, seconds, late, len(mine) - len(tried))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def summary_beside(rows: Sequence[Row]) -> str:
    """Return medians over the models that both tools pruned; the last with all that ours does."""
    ours = {row.model: row for row in rows if row.tool == "spa-onnx"}
    theirs = {row.model: row.seconds for row in rows if row.tool == "torch-pruning" and row.valid}
    pairs = [
        (ours[m].seconds or 0.0, s or 1.0, sum(ours[m].stages.values())) for m, s in theirs.items()
    ]
    if not pairs:
        return "No model was pruned by both."
    mine, other, whole = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(a / b for a, b, _ in pairs)
    return (
        f"{len(pairs)} models, seconds, median: spa-onnx {mine:.3f}, Torch-Pruning {other:.3f}, "
        f"ratio {ratio:.2f}; with loading, scoring and writing {whole:.3f}, "
        f"ratio {median(c / b for _, b, c in pairs):.2f}."
    )


def preload(tools: Sequence[Tool]) -> None:
    """Import what every child would, once, and fail early where a tool is missing."""
    for tool in tools:
        if tool.startswith("onnxsim"):
            modules = ("peer_onnxsim", "onnxsim")
        else:
            modules = ("peer_torch_pruning", "torch_pruning", "timm", "transformers")
        for module in modules:
            import_module(module)


@click.command()
@click.argument("zoo", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="JSON."
)
@click.option("--tool", type=click.Choice(TOOLS), help="Without it, all.")
@click.option("--model", "pattern", default="*", help="Of folder/name, such as 'timm/*'.")
@click.option("--jobs", default=1, show_default=True, help="Processes at a time.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for each stage.")
@click.option("--memory", default=8.0, show_default=True, help="Gigabytes for one process.")
@click.option("--again", is_flag=True, help="Try what failed in an earlier run once more.")
@click.option("--beside-ours", is_flag=True, help="Time Torch-Pruning and spa-onnx, interleaved.")
def main(
    zoo: Path,
    output: Path,
    tool: Tool | None,
    pattern: str,
    jobs: int,
    timeout: float,
    memory: float,
    again: bool,
    beside_ours: bool,
) -> None:
    """Prune the models in the folders of ZOO with other tools, and print a summary."""
    tools: tuple[Tool, ...] = ("torch-pruning",) if beside_ours else (tool,) if tool else TOOLS
    preload(tools)
    cases = cases_of(zoo, tools, pattern, beside_ours)
    run_all(cases, zoo, output, timeout, round(memory * GIGABYTE), jobs, again)
    rows = finished(output)
    click.echo(summary_beside(rows) if beside_ours else summary(rows))


if __name__ == "__main__":
    main()
