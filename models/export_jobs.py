"""Export many models, each in a process of its own: what the zoo scripts share.

A script gives the names it knows and a function from a job to a ``Subject``. A time-out, a crash
or an exporter's complaint ends one job and is a row of the table; what a run finished is skipped
by the next, and so are failures unless they are asked for again.
"""

import contextlib
import io
import json
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import click
import numpy as np
import onnx
import onnxruntime as ort
import torch
from plain_unfold import plain_unfold
from torch import Tensor, nn

Exporter = Literal["legacy", "dynamo"]
LEGACY_OPSET = 17
PROTOBUF_LIMIT = 2**31 - 1
"""Bytes in one protobuf message; a larger model needs a file of external data."""
LOG = "exports.jsonl"


class NoFiniteOutputError(ValueError):
    """ONNX Runtime runs an exported model, and no output holds a number."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and what to run it on.

    Attributes:
        model: called with the inputs by keyword, or in order where ``positional``.
        inputs: tensors by name, in order.
        dynamic: of some inputs, the axes that may vary and what to call them.
        outputs: which outputs to keep, by attribute; without any, all tensors.
        options: more keywords of the call.
        positional: whether the model names its inputs otherwise, or not at all.
        simplified: whether the dynamo exporter may simplify what it writes.
    """

    model: nn.Module
    inputs: Mapping[str, Tensor]
    dynamic: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    positional: bool = False
    simplified: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """One file to write.

    Attributes:
        name: of the model, as its script knows it.
        exporter: which of PyTorch's two.
        dynamic: whether the axes that the subject names are left open.
        path: the file.
        seed: of all draws.
        spread: see ``lively_weights.enliven``.
    """

    name: str
    exporter: Exporter
    dynamic: bool
    path: Path
    seed: int = 0
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Export:
    """What came of a job.

    Attributes:
        path: the file's name.
        failure: empty where the file was written and runs, else why it does not.
        megabytes: size on disk with external data.
        nodes: nodes of the main graph.
        difference: to torch, the largest relative to the largest output; not a number where the
            shapes differ, as those of detections may, and where every output is empty.
        seconds: wall time.
    """

    path: str
    failure: str = ""
    megabytes: float = 0.0
    nodes: int = 0
    difference: float = float("nan")
    seconds: float = 0.0

    def row(self) -> str:
        """Return one line of the summary table."""
        if self.failure:
            return f"| {self.path} | FAILED {self.failure} | | | {self.seconds:.0f} |"
        return (
            f"| {self.path} | {self.megabytes:.1f} | {self.nodes} | {self.difference:.1e} "
            f"| {self.seconds:.0f} |"
        )


HEADER = """\
| file | MB | nodes | difference to torch | seconds |
|---|---:|---:|---:|---:|"""

Build = Callable[[Job], Subject]


class Positional(nn.Module):
    """A subject's model, called with its tensors in order and answering with a flat tuple."""

    def __init__(self, subject: Subject) -> None:
        """Keep the model and how to call it."""
        super().__init__()
        self.model = subject.model
        self.names = None if subject.positional else tuple(subject.inputs)
        self.outputs = tuple(subject.outputs)
        self.options = dict(subject.options)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Return the chosen outputs."""
        if self.names is None:
            answer = self.model(*tensors, **self.options)
        else:
            answer = self.model(**dict(zip(self.names, tensors, strict=True)), **self.options)
        if self.outputs:
            answer = [getattr(answer, name) for name in self.outputs]
        return tuple(tensors_of(answer))


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a tensor or in nested sequences and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(tensors_of, value.values()))
    elif isinstance(value, (tuple, list)):
        yield from chain.from_iterable(map(tensors_of, value))


def export(job: Job, build: Build) -> Export:
    """Build, write and check one model.

    Raises:
        NoFiniteOutputError: if ONNX Runtime computes nothing but infinities.
    """
    warnings.simplefilter("ignore")
    torch.manual_seed(job.seed)
    start = time.perf_counter()
    subject = build(job)
    model = Positional(subject).eval()
    job.path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()), plain_unfold():
        write(model, subject, job)
    difference = difference_to_torch(job.path, model, subject)
    graph = onnx.load(job.path, load_external_data=False)
    return Export(
        job.path.name,
        megabytes=sum(file.stat().st_size for file in job.path.parent.glob(f"{job.path.name}*"))
        / 1e6,
        nodes=len(graph.graph.node),
        difference=difference,
        seconds=time.perf_counter() - start,
    )


def write(model: nn.Module, subject: Subject, job: Job) -> None:
    """Run the job's exporter with the settings that most users leave alone."""
    names = list(subject.inputs)
    inputs = tuple(subject.inputs.values())
    open_axes = subject.dynamic if job.dynamic else {}
    if job.exporter == "legacy":
        torch.onnx.export(
            model,
            inputs,
            job.path,
            dynamo=False,
            opset_version=LEGACY_OPSET,
            input_names=names,
            dynamic_axes={name: dict(axes) for name, axes in open_axes.items()} or None,
        )
        return
    varying = torch.export.Dim.DYNAMIC
    shapes = tuple(dict.fromkeys(open_axes.get(name, ()), varying) for name in names)
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    torch.onnx.export(
        model,
        inputs,
        job.path,
        dynamo=True,
        external_data=size > PROTOBUF_LIMIT,
        input_names=names,
        dynamic_shapes={"tensors": shapes} if open_axes else None,
        optimize=subject.simplified,
        verbose=False,
    )


def difference_to_torch(path: Path, model: nn.Module, subject: Subject) -> float:
    """Return ``max |onnxruntime - torch| / max |torch|`` over the outputs of one run.

    Raises:
        NoFiniteOutputError: if no output holds a finite number.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}
    feeds = {k: v.numpy() for k, v in subject.inputs.items() if k in wanted}
    got = [np.asarray(array) for array in session.run(None, feeds)]
    filled = [array for array in got if array.size]  # a detector may find nothing
    if filled and not any(np.isfinite(array).any() for array in filled):
        raise NoFiniteOutputError(f"{path.name}: no output of {len(got)} is finite")
    with torch.no_grad():
        expected = [tensor.detach().numpy() for tensor in model(*subject.inputs.values())]
    if [array.shape for array in got] != [array.shape for array in expected]:
        return float("nan")
    differences = (
        float(np.abs(a - b).max() / (np.abs(b).max() + 1e-30))
        for a, b in zip(got, expected, strict=True)
        if a.size and a.dtype.kind == "f"
    )
    return max(differences, default=float("nan"))


def work(job: Job, build: Build, answer: Connection) -> None:
    """Do a job in a child process and send what came of it, whatever that is."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            outcome = export(job, build)
        except BaseException as error:  # the table is where a failure belongs
            reason = " ".join(str(error).split()).replace("|", "/")[:300]
            outcome = Export(
                job.path.name,
                failure=f"{type(error).__name__}: {reason}",
                seconds=time.perf_counter() - start,
            )
            job.path.unlink(missing_ok=True)
    answer.send(outcome)
    answer.close()


def run(job: Job, build: Build, limit: float) -> Export:
    """Run a job in a fork, which has the libraries loaded, for ``limit`` seconds at most."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(job, build, sender))
    process.start()
    sender.close()
    failure = f"no result after {limit:.0f} s"
    if receiver.poll(limit):
        try:
            return receiver.recv()
        except EOFError:
            process.join()
            failure = f"crashed with exit code {process.exitcode}"
        finally:
            process.join(5)
            process.kill()
    process.kill()
    process.join()
    job.path.unlink(missing_ok=True)
    return Export(job.path.name, failure=failure, seconds=limit)


def finished(folder: Path) -> dict[str, Export]:
    """Return the outcomes that earlier runs left in ``folder``, by file name; the last counts."""
    log = folder / LOG
    if not log.exists():
        return {}
    outcomes = [Export(**json.loads(line)) for line in log.read_text().splitlines()]
    return {outcome.path: outcome for outcome in outcomes}


def run_all(jobs: Iterable[Job], build: Build, limit: float, again: bool) -> list[Export]:
    """Run the jobs that no earlier run finished, and return the outcomes of all."""
    outcomes: list[Export] = []
    for job in jobs:
        job.path.parent.mkdir(parents=True, exist_ok=True)
        outcome = finished(job.path.parent).get(job.path.name)
        if outcome is None or (again and outcome.failure):
            outcome = run(job, build, limit)
            with (job.path.parent / LOG).open("a") as log:
                log.write(json.dumps(asdict(outcome)) + "\n")
            click.echo(outcome.row(), err=True)
        outcomes.append(outcome)
    return outcomes


def summarise(outcomes: Sequence[Export]) -> None:
    """Print the table, and leave with status 1 where a job failed."""
    click.echo("\n".join([HEADER, *(outcome.row() for outcome in outcomes)]))
    failures = sum(bool(outcome.failure) for outcome in outcomes)
    click.echo(f"\n{len(outcomes) - failures} of {len(outcomes)} exported.")
    if failures:
        sys.exit(1)
