"""Scores of trained models on data of yours, for ``spa-onnx bench criteria --evaluate``.

    export SPA_ONNX_DATA=FOLDER
    python models/scores.py calibration calib.npz --count 512
    spa-onnx bench criteria resnet.onnx --recipe calibrated --calib calib.npz
        --evaluate models/scores.py:cifar10

``FOLDER`` holds ``cifar10_train20k.npz`` and ``cifar10_test5k.npz`` for :func:`cifar10` (arrays
``jpeg``: JPEG files end to end, ``offset``, ``label``), and ``stsb_dev.npz`` for :func:`stsb`:
token ids and masks of sentence pairs, and how alike people found them. Needs Pillow.
"""

from __future__ import annotations

import io
import os
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

import spa_onnx
from spa_onnx.inputs.made_up import made_up

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
BATCH = 250


def folder() -> Path:
    """Return the folder of data."""
    return Path(os.environ["SPA_ONNX_DATA"])


@lru_cache(maxsize=2)
def images(part: str) -> tuple[Floats, Labels]:
    """Return all images of a file, ``(n, 3, 32, 32)``, normalised, with their labels ``(n,)``."""
    with np.load(folder() / part) as stored:
        jpeg, offset, label = stored["jpeg"], stored["offset"], stored["label"]
    files = (jpeg[a:b].tobytes() for a, b in pairwise(offset))
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in files])
    scaled = (pixels.astype(np.float32) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)), label


def cifar10(path: str) -> float:
    """Return the top-1 accuracy on the test images, in percent."""
    x, label = images("cifar10_test5k.npz")
    session = _session(path)
    name = session.get_inputs()[0].name
    starts = range(0, len(x), BATCH)
    made = [session.run(None, {name: x[k : k + BATCH]})[0].argmax(axis=1) for k in starts]
    return float(100 * np.mean(np.concatenate(made) == label))


def stsb(path: str) -> float:
    """Return 100 times Spearman's correlation of embeddings' products with people's scores."""
    session = _session(path)
    with np.load(folder() / "stsb_dev.npz") as stored:
        sides = [_embeddings(session, stored[f"{s}_ids"], stored[f"{s}_mask"]) for s in "ab"]
        score = stored["score"]
    products = (sides[0] * sides[1]).sum(axis=1)
    return float(100 * np.corrcoef(_ranks(products), _ranks(score))[0, 1])


def _embeddings(
    session: ort.InferenceSession, ids: npt.NDArray[np.int64], mask: npt.NDArray[np.int64]
) -> Floats:
    """Return one embedding for every sentence; padding behind a batch's longest is cut."""
    parts = []
    for start in range(0, len(ids), 64):
        rows = slice(start, start + 64)
        longest = int(mask[rows].sum(axis=1).max())
        feeds = {"input_ids": ids[rows, :longest], "attention_mask": mask[rows, :longest]}
        parts.append(session.run(None, {k: v.astype(np.int64) for k, v in feeds.items()})[0])
    return np.concatenate(parts)


def _ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return ranks; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def _session(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@click.group()
def main() -> None:
    """Make calibration files, or print a score."""


@main.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", default=512, show_default=True, help="Training images, without labels.")
@click.option("--seed", default=0, show_default=True, help="Which ones.")
@click.option("--name", default="input", show_default=True, help="Name of the model's input.")
def calibration(output: Path, count: int, seed: int, name: str) -> None:
    """Write random training images to OUTPUT.npz."""
    x, _ = images("cifar10_train20k.npz")
    chosen = np.random.default_rng(seed).permutation(len(x))[:count]
    np.savez(output, **{name: x[np.sort(chosen)]})


@main.command()
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--count", default=512, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--name", default="input", show_default=True, help="Name of the model's input.")
def noise(output: Path, count: int, seed: int, name: str) -> None:
    """Write white noise in the form of images to OUTPUT.npz, to compare made-up pictures with."""
    drawn = np.random.default_rng(seed).standard_normal((count, 3, 32, 32), np.float32)
    np.savez(output, **{name: drawn})


@main.command()
@click.argument("model", type=click.Path(exists=True, path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--seed", default=0, show_default=True)
def pictures(model: Path, output: Path, seed: int) -> None:
    """Write what is made up for MODEL to OUTPUT.npz, to use it without batch statistics."""
    state = spa_onnx.analyze(model).propagation
    batches = list(made_up(state, {}, None, seed))
    np.savez(output, **{n: np.concatenate([b[n] for b in batches]) for n in batches[0]})


@main.command()
@click.argument("task", type=click.Choice(["cifar10", "stsb"]))
@click.argument("models", nargs=-1, required=True)
def score(task: str, models: tuple[str, ...]) -> None:
    """Print the score of every model."""
    measure = {"cifar10": cifar10, "stsb": stsb}[task]
    for model in models:
        click.echo(f"{measure(model):7.2f}  {Path(model).name}")


if __name__ == "__main__":
    main()
