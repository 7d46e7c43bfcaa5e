"""Write models to files, each in a process of its own, and run them: what zoo scripts share.

Needs only onnx, onnxruntime, numpy and click.
"""

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort

Array = npt.NDArray[Any]

TOLERANCE = 1e-3
"""Allowed relative difference of ONNX Runtime and the framework: float32 over some layers."""

LOG = "exports.jsonl"
"""Name of the file that tells what came of each export."""
FREE_AXIS = 2
"""Length given to an axis without a number when a model is run."""


class ExportDiffersError(ValueError):
    """ONNX Runtime disagrees with the framework about an exported model."""

    def __str__(self) -> str:
        """Return what was found; the argument alone crosses processes."""
        return f"ONNX Runtime differs by {self.args[0]:.1e} > {TOLERANCE:.0e}"


@dataclass(frozen=True, slots=True)
class Exported:
    """One model and what it should compute.

    Attributes:
        model: not yet saved.
        feeds: inputs by name; where absent, random ones are drawn.
        expected: outputs of the framework in order; empty where there is nothing to compare.
    """

    model: onnx.ModelProto
    feeds: Mapping[str, Array] | None = None
    expected: Sequence[Array] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """One file written and run.

    Attributes:
        kilobytes: size on disk.
        nodes: nodes of the main graph.
        opset: version of the default domain.
        difference: largest difference to the framework, relative to its largest value; none
            where there was nothing to compare.
        seconds: wall time of building, exporting and running.
    """

    kilobytes: float
    nodes: int
    opset: int
    difference: float | None
    seconds: float


def write(path: Path, build: Callable[[], Exported]) -> Written:
    """Build, save and run one model; runs in a process of its own.

    Raises:
        ExportDiffersError: if ONNX Runtime and the framework disagree.
    """
    start = time.perf_counter()
    exported = build()
    onnx.checker.check_model(exported.model)
    temporary = path.with_suffix(".unchecked")
    onnx.save(exported.model, temporary)
    difference = largest_difference(exported, run_model(temporary, exported.feeds))
    temporary.replace(path)
    return Written(
        kilobytes=path.stat().st_size / 1e3,
        nodes=len(exported.model.graph.node),
        opset=next(entry.version for entry in exported.model.opset_import if not entry.domain),
        difference=difference,
        seconds=time.perf_counter() - start,
    )


def run_model(path: Path, feeds: Mapping[str, Array] | None) -> list[Any]:
    """Return the outputs of a model in ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session: Any = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds or random_feeds(session))
    return outputs


def random_feeds(session: Any, seed: int = 1) -> dict[str, Array]:
    """Return one input per name: normal numbers, small indices, words."""
    rng = np.random.default_rng(seed)
    feeds: dict[str, Array] = {}
    for entry in session.get_inputs():
        shape = [axis if isinstance(axis, int) else FREE_AXIS for axis in entry.shape]
        match entry.type:
            case "tensor(float)" | "tensor(double)" | "tensor(float16)":
                kind = {"tensor(float)": "f4", "tensor(double)": "f8"}.get(entry.type, "f2")
                feeds[entry.name] = rng.standard_normal(shape).astype(kind)
            case "tensor(bool)":
                feeds[entry.name] = rng.integers(0, 2, shape).astype(bool)
            case "tensor(string)":
                feeds[entry.name] = np.full(shape, "cat", dtype=object)
            case other:
                kind = other.removeprefix("tensor(").removesuffix(")")
                feeds[entry.name] = rng.integers(1, 4, shape).astype(kind)
    return feeds


def largest_difference(exported: Exported, got: Sequence[Any]) -> float | None:
    """Return ``max |onnxruntime - framework| / max |framework|`` over all outputs.

    Raises:
        ExportDiffersError: if it exceeds ``TOLERANCE``, or an output is not finite.
    """
    floats = [y for y in got if isinstance(y, np.ndarray) and y.dtype.kind == "f"]
    if not all(np.isfinite(y).all() for y in floats):
        raise ExportDiffersError(np.inf)
    if not exported.expected:
        return None
    worst = 0.0
    for one, other in zip(got, exported.expected, strict=True):
        scale = max(float(np.abs(other).max()), 1e-6)
        worst = max(worst, float(np.abs(np.reshape(one, other.shape) - other).max()) / scale)
    if not worst <= TOLERANCE:
        raise ExportDiffersError(worst)
    return worst


HEADER = """\
| model | kB | nodes | opset | difference | seconds |
|---|---:|---:|---:|---:|---:|"""


def log(path: Path, outcome: Written | BaseException) -> None:
    """Append what came of an export to a file beside it, of which the last line counts."""
    failure = f"{type(outcome).__name__}: {shortened(outcome)}"
    line = {"path": path.name, "failure": failure if isinstance(outcome, BaseException) else ""}
    with (path.parent / LOG).open("a") as file:
        file.write(json.dumps(line) + "\n")


def shortened(error: object) -> str:
    """Return an error on one line of bounded length."""
    return " ".join(str(error).split())[:300]


def row(name: str, outcome: Written | BaseException | None) -> str:
    """Return one line of the summary table; no outcome means that the file was there."""
    if outcome is None:
        return f"| {name} | was there |"
    if isinstance(outcome, BaseException):
        return f"| {name} | FAILED {type(outcome).__name__}: {shortened(outcome)} |"
    difference = "" if outcome.difference is None else f"{outcome.difference:.1e}"
    return (
        f"| {name} | {outcome.kilobytes:.0f} | {outcome.nodes} | {outcome.opset} "
        f"| {difference} | {outcome.seconds:.1f} |"
    )


def write_all(
    out: Path,
    builders: Mapping[str, Callable[[], Exported]],
    names: Sequence[str],
) -> None:
    """Write the named models that are not there yet and print a table; exit 1 if one failed.

    Every model gets a process of its own, so that a crash costs one row.
    """
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    rows: list[str] = []
    for name in names or builders:
        path = out / f"{name}.onnx"
        outcome: Written | BaseException | None = None
        if not path.exists():
            with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
                future = pool.submit(write, path, builders[name])
                outcome = future.exception() or future.result()
            log(path, outcome)
        rows.append(row(name, outcome))
        click.echo(rows[-1], err=True)
    click.echo("\n".join([HEADER, *rows]))
    if any("| FAILED" in line for line in rows):
        sys.exit(1)


def zoo_command(builders: Mapping[str, Callable[[], Exported]], doc: str) -> click.Command:
    """Return the command line of a zoo: a folder and, optionally, names of models."""

    @click.command(help=doc.splitlines()[0])
    @click.argument("out", type=click.Path(file_okay=False, path_type=Path))
    @click.option("--model", "names", multiple=True, type=click.Choice(list(builders)))
    def main(out: Path, names: tuple[str, ...]) -> None:
        write_all(out, builders, names)

    return main
