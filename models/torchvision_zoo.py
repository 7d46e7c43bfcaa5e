"""Export random-weight torchvision models with both of PyTorch's exporters.

    python models/torchvision_zoo.py OUT --model resnet18 --exporter legacy

writes OUT/legacy/resnet18.onnx. Needs torch, torchvision, onnx, onnxruntime and click. Weights
are drawn by ``lively_weights.py`` from a fixed seed; nothing is downloaded.
"""

import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import numpy as np
import onnx
import onnxruntime as ort
import torch
from lively_weights import ActivationRange, activation_range, enliven, image_noise
from torch import Tensor, nn

Exporter = Literal["legacy", "dynamo"]

MODELS = (
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "densenet121",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "googlenet",
    "regnet_y_400mf",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vit_b_16",
    "swin_t",
    "convnext_tiny",
)
OPTIONS: dict[str, dict[str, bool]] = {
    "googlenet": {"aux_logits": False, "transform_input": False, "init_weights": False},
}
IMAGE_SIZE = 224
LEGACY_OPSET = 17
TRAINED_SPREAD = 0.5
"""Log-normal spread of lane norms under --pretend-trained; a wide guess, not a measurement."""
PROTOBUF_LIMIT = 2**31 - 1
"""Bytes in one protobuf message; a larger model needs a file of external data."""
TOLERANCE = 1e-3
"""Allowed relative difference of ONNX Runtime and torch: float32 over some hundred layers."""

TORCHVISION_LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
MISSING_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class DeadWeightsError(ValueError):
    """The drawn weights leave a layer dead or let activations explode."""

    def __init__(self, seen: ActivationRange) -> None:
        """Give the range that was found."""
        super().__init__(f"activations {seen}: draw other weights with --seed")


class ExportDiffersError(ValueError):
    """ONNX Runtime disagrees with torch about an exported model."""

    def __init__(self, difference: float) -> None:
        """Give the relative difference that was found."""
        super().__init__(f"ONNX Runtime differs from torch by {difference:.1e} > {TOLERANCE:.0e}")


@dataclass(frozen=True, slots=True)
class Job:
    """One file to write."""

    name: str
    exporter: Exporter
    path: Path
    seed: int
    spread: float


@dataclass(frozen=True, slots=True)
class Export:
    """One file written and checked.

    Attributes:
        megabytes: size on disk with external data.
        nodes: nodes of the main graph.
        opset: version of the default domain.
        difference: largest difference to torch, relative to the largest output.
        activations: how large they are, and how the output follows the input.
        seconds: wall time of building, exporting and checking.
    """

    megabytes: float
    nodes: int
    opset: int
    difference: float
    activations: ActivationRange
    seconds: float


def build(job: Job) -> tuple[nn.Module, ActivationRange]:
    """Return the model in eval mode with lively weights, and how large its activations are.

    Raises:
        DeadWeightsError: if the weights turn out not to be lively.
    """
    generator = torch.Generator().manual_seed(job.seed)
    model = model_maker()(job.name, weights=None, **OPTIONS.get(job.name, {}))
    enliven(model, image_noise(8, IMAGE_SIZE, generator), generator, job.spread)
    seen = activation_range(model, image_noise(2, IMAGE_SIZE, generator))
    if not seen.sane:
        raise DeadWeightsError(seen)
    return model, seen


def model_maker() -> Callable[..., nn.Module]:
    """Return torchvision's ``get_model``, also where its compiled operators do not load.

    A wheel built for another torch variant stops at its first missing operator. Classifiers
    need none of them, so their declarations suffice.
    """
    try:
        from torchvision.models import get_model
    except RuntimeError:
        for signature in MISSING_OPERATORS:
            TORCHVISION_LIBRARY.define(signature)
        from torchvision.models import get_model
    return get_model


def export(job: Job) -> Export:
    """Build, write and check one model; runs in a process of its own.

    Raises:
        DeadWeightsError: see ``build``.
        ExportDiffersError: see ``difference_to_torch``.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    start = time.perf_counter()
    model, activations = build(job)
    image = image_noise(1, IMAGE_SIZE, torch.Generator().manual_seed(job.seed + 1))
    job.path.parent.mkdir(parents=True, exist_ok=True)
    write(model, image, job)
    difference = difference_to_torch(job.path, model, image)
    graph = onnx.load(job.path, load_external_data=False)
    return Export(
        megabytes=sum(file.stat().st_size for file in job.path.parent.glob(f"{job.path.name}*"))
        / 1e6,
        nodes=len(graph.graph.node),
        opset=next(entry.version for entry in graph.opset_import if not entry.domain),
        difference=difference,
        activations=activations,
        seconds=time.perf_counter() - start,
    )


def write(model: nn.Module, image: Tensor, job: Job) -> None:
    """Run the job's exporter with the settings that most users leave alone."""
    if job.exporter == "legacy":
        torch.onnx.export(
            model,
            (image,),
            job.path,
            dynamo=False,
            opset_version=LEGACY_OPSET,
            input_names=["input"],
            output_names=["output"],
        )
    else:
        size = sum(tensor.nbytes for tensor in model.state_dict().values())
        torch.onnx.export(
            model,
            (image,),
            job.path,
            dynamo=True,
            external_data=size > PROTOBUF_LIMIT,
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )


def difference_to_torch(path: Path, model: nn.Module, image: Tensor) -> float:
    """Return ``max |onnxruntime - torch| / max |torch|`` over the outputs for one image.

    Raises:
        ExportDiffersError: if it exceeds ``TOLERANCE`` or is not a number.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.inference_mode():
        expected = model(image).numpy()
    difference = float(np.abs(got - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise ExportDiffersError(difference)
    return difference


def run(job: Job) -> Export | BaseException:
    """Run a job in a fresh process, so that its memory is returned and its crash contained."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        future = pool.submit(export, job)
        return future.exception() or future.result()


def row(job: Job, outcome: Export | BaseException) -> str:
    """Return one line of the summary table."""
    if isinstance(outcome, BaseException):
        reason = " ".join(str(outcome).split())[:200]
        return f"| {job.name} | {job.exporter} | FAILED {type(outcome).__name__}: {reason} |"
    return (
        f"| {job.name} | {job.exporter} | {outcome.megabytes:.1f} | {outcome.nodes} "
        f"| {outcome.opset} | {outcome.difference:.1e} | {outcome.activations} "
        f"| {outcome.seconds:.0f} |"
    )


HEADER = """\
| model | exporter | MB | nodes | opset | difference | activations, response | seconds |
|---|---|---:|---:|---:|---:|---|---:|"""


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model",
    "names",
    multiple=True,
    default=MODELS,
    help="Any torchvision classifier; repeat for several. Without it, a list of 15.",
)
@click.option("--exporter", type=click.Choice(["legacy", "dynamo", "both"]), default="both")
@click.option("--pretend-trained", is_flag=True, help="Give lanes unequal norms, as training does.")
@click.option("--seed", default=0, show_default=True)
def main(
    out: Path,
    names: tuple[str, ...],
    exporter: Literal["legacy", "dynamo", "both"],
    pretend_trained: bool,
    seed: int,
) -> None:
    """Export torchvision models into OUT/legacy and OUT/dynamo, one file each."""
    chosen: tuple[Exporter, ...] = ("legacy", "dynamo") if exporter == "both" else (exporter,)
    spread = TRAINED_SPREAD if pretend_trained else 0.0
    rows: list[str] = []
    failures = 0
    for name in names:
        for how in chosen:
            job = Job(name, how, out / how / f"{name}.onnx", seed, spread)
            outcome = run(job)
            failures += isinstance(outcome, BaseException)
            rows.append(row(job, outcome))
            click.echo(rows[-1], err=True)
    click.echo("\n".join([HEADER, *rows]))
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
