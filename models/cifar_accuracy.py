"""Prune the CIFAR-10 models of a data folder and print what accuracy is left, without retraining.

    python models/cifar_accuracy.py --data FOLDER --keep-flops 0.7

The folder is not part of the project. It holds ``cifar10_test5k.npz`` (arrays ``jpeg``, the
files end to end; ``offset``, where each begins; ``label``) and ``models/NAME.onnx`` for each of
``MODELS``, with an input of (batch, 3, 32, 32). Needs pillow besides what spa-onnx needs.
"""

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from PIL import Image

import spa_onnx

MODELS = tuple(
    f"{network}_cifar10{batch_norm}"
    for network in ("resnet20", "resnet56", "vgg", "resnextse")
    for batch_norm in ("", "_bn")
)
IMPORTANCES = ("l1", "l2", "random")
TEST_IMAGES = "cifar10_test5k.npz"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
BATCH = 250
THREADS = 2


class MissingDataError(click.ClickException):
    """The data folder lacks a file."""

    def __init__(self, path: Path) -> None:
        """Name the file."""
        super().__init__(f"{path} does not exist. Give the folder that holds it with --data.")


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """What accuracy is measured on.

    Attributes:
        images: ``(n, 3, 32, 32)`` float32, normalised as the models want.
        labels: ``(n,)`` class numbers.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]


def read_images(path: Path) -> LabelledImages:
    """Decode and normalise all images of an archive."""
    with np.load(path) as arrays:
        jpeg, offset, labels = arrays["jpeg"], arrays["offset"], arrays["label"]
    files = (jpeg[begin:end].tobytes() for begin, end in pairwise(offset))
    rgb = np.stack([np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files])
    scaled = (rgb.astype(np.float32) / 255 - MEAN) / STD
    return LabelledImages(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)), labels)


def top1(model: onnx.ModelProto, data: LabelledImages) -> float:
    """Return the percentage of images whose largest output is their label."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    hits = 0
    for begin in range(0, len(data.labels), BATCH):
        batch = slice(begin, begin + BATCH)
        (logits,) = session.run(None, {name: data.images[batch]})
        hits += int((logits.argmax(axis=1) == data.labels[batch]).sum())
    return 100 * hits / len(data.labels)


def pruned_accuracies(
    path: Path, data: LabelledImages, keep_flops: float, seed: int
) -> Iterator[float | spa_onnx.SpaError]:
    """Yield for each importance the accuracy of the pruned model, or why there is none."""
    for importance in IMPORTANCES:
        config = spa_onnx.PruneConfig(
            budget=spa_onnx.KeepFlops(keep_flops), importance=importance, seed=seed
        )
        try:
            yield top1(spa_onnx.prune(path, config).model, data)
        except spa_onnx.SpaError as error:
            click.echo(f"{path.name}, {importance}: {error}", err=True)
            yield error


@click.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of cifar10_test5k.npz and models/.",
)
@click.option(
    "--keep-flops",
    default=0.7,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Part of the multiplications that stays.",
)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice(MODELS),
    default=MODELS,
    help="Repeat for several. Default: all eight.",
)
@click.option("--dense-only", is_flag=True, help="Check the data: score without pruning.")
def main(
    data: Path, keep_flops: float, seed: int, names: tuple[str, ...], dense_only: bool
) -> None:
    """Print a table: top-1 accuracy of each model, dense and pruned by l1, l2 and random."""
    paths = [data / "models" / f"{name}.onnx" for name in names]
    for path in (data / TEST_IMAGES, *paths):
        if not path.is_file():
            raise MissingDataError(path)
    images = read_images(data / TEST_IMAGES)
    columns = ("dense",) if dense_only else ("dense", *IMPORTANCES)
    click.echo(f"| model | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    failures = 0
    for path in paths:
        scores: list[float | spa_onnx.SpaError] = [top1(onnx.load(path), images)]
        if not dense_only:
            scores += pruned_accuracies(path, images, keep_flops, seed)
        failures += sum(isinstance(score, spa_onnx.SpaError) for score in scores)
        cells = ["failed" if isinstance(s, spa_onnx.SpaError) else f"{s:.2f}" for s in scores]
        click.echo(f"| {path.stem} | {' | '.join(cells)} |")
    if failures:
        sys.exit(1)


if __name__ == "__main__":
    main()
