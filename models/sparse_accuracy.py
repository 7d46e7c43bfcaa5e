"""Accuracy of trained models with zeros in their weights, with and without repair.

    export SPA_ONNX_DATA=FOLDER
    python models/scores.py calibration calib.npz
    python models/sparse_accuracy.py run results.jsonl resnet.onnx vgg.onnx --calib calib.npz
    python models/sparse_accuracy.py run results.jsonl minilm.onnx --task stsb --calib tokens.jsonl
    python models/sparse_accuracy.py table results.jsonl

``run`` adds a line for every model, pattern, sparsity and way that has none yet, so it goes on
where it was interrupted; ``table`` prints them as Markdown. Scores and data are those of
``scores.py``.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

import spa_onnx

sys.path.insert(0, str(Path(__file__).parent))
import scores

CASES = (
    *(("unstructured", s) for s in (0.5, 0.7, 0.8)),
    *(("block:4x1", s) for s in (0.5, 0.7, 0.8)),
    ("2:4", 0.5),
)
"""Patterns and sparsities."""

DENSE = ("dense", 0.0)

WAYS: dict[str, dict[str, Any]] = {
    "magnitude": {"selection": "magnitude", "repair": False, "allocation": "uniform"},
    "calibrated": {},
    "data-free": {},
}
"""What is asked of ``sparsify``: plain masks; its defaults on calibration inputs; on none."""

SCORES = {"cifar10": scores.cifar10, "stsb": scores.stsb}


@dataclass(frozen=True, slots=True)
class Line:
    """One result: ``score`` in points, ``sparsity`` as it was reached, ``seconds`` of the run."""

    model: str
    way: str
    pattern: str
    asked: float
    score: float
    sparsity: float
    seconds: float

    @property
    def case(self) -> tuple[str, str, str, float]:
        """Return what is measured once."""
        return self.model, self.way, self.pattern, self.asked


def read(results: Path) -> list[Line]:
    """Return the lines of a file, none if it is not there yet."""
    if not results.exists():
        return []
    return [Line(**json.loads(text)) for text in results.read_text("utf-8").splitlines()]


def measure(
    model: Path, way: str, pattern: str, sparsity: float, task: str, calib: Path | None
) -> Line:
    """Sparsify one model in one way and score it."""
    if pattern == DENSE[0]:
        return Line(model.name, way, pattern, sparsity, SCORES[task](str(model)), 0.0, 0.0)
    options = dict(WAYS[way])
    if way == "calibrated":
        options["calibration"] = calib
    asked = None if pattern == "2:4" else sparsity
    if pattern == "2:4":
        options.pop("allocation", None)
    config = spa_onnx.SparsifyConfig(asked, pattern, **options)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "sparse.onnx")
        start = time.perf_counter()
        result = spa_onnx.sparsify(model, config, output=target)
        seconds = time.perf_counter() - start
        score = SCORES[task](str(target))
    return Line(model.name, way, pattern, sparsity, score, result.report.sparsity, seconds)


@click.group()
def main() -> None:
    """Measure, or print what was measured."""


@main.command()
@click.argument("results", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--task", type=click.Choice(list(SCORES)), default="cifar10", show_default=True)
@click.option("--calib", type=click.Path(exists=True, path_type=Path), help="For calibrated runs.")
@click.option(
    "--case",
    "numbers",
    multiple=True,
    type=click.IntRange(0, len(CASES) - 1),
    help="Only this one, by its number from 0: 50, 70, 80 % unstructured, 50, 70, 80 % 4x1, 2:4.",
)
@click.option("--way", "ways", multiple=True, type=click.Choice(list(WAYS)), help="Only this one.")
def run(
    results: Path,
    models: tuple[Path, ...],
    task: str,
    calib: Path | None,
    numbers: tuple[int, ...],
    ways: tuple[str, ...],
) -> None:
    """Measure MODELS and add a line for each to RESULTS."""
    known = {line.case for line in read(results)}
    chosen = ways or tuple(w for w in WAYS if w != "calibrated" or calib is not None)
    for model in models:
        wanted = [CASES[k] for k in numbers or range(len(CASES))]
        cases = [("", *DENSE), *((way, *case) for way in chosen for case in wanted)]
        for way, pattern, sparsity in cases:
            if (model.name, way, pattern, sparsity) in known:
                continue
            line = measure(model, way, pattern, sparsity, task, calib)
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(line)) + "\n")
            click.echo(f"{line.model} {way} {pattern} {sparsity}: {line.score:.2f}")


@main.command()
@click.argument("results", type=click.Path(exists=True, path_type=Path))
def table(results: Path) -> None:
    """Print RESULTS: points lost, beside the dense score."""
    lines = {line.case: line for line in read(results)}
    titles = " | ".join(f"{p.removeprefix('block:')} {s:.0%}" for p, s in CASES)
    click.echo(f"| model, dense score | | {titles} |\n|---|---|" + "---:|" * len(CASES))
    for model in dict.fromkeys(line.model for line in lines.values()):
        dense = lines[model, "", *DENSE].score
        label = f"{Path(model).stem}, {dense:.2f}"
        for way in WAYS:
            found = [lines.get((model, way, *case)) for case in CASES]
            if any(found):
                cells = ["" if line is None else f"{dense - line.score:.2f}" for line in found]
                click.echo(f"| {label} | {way} | {' | '.join(cells)} |")
                label = ""


if __name__ == "__main__":
    main()
