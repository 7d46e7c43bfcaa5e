"""Print accuracy, parameters and file size of digits models.

    python models/digits/evaluate.py models/digits/digits.onnx pruned.onnx

Scores on the held-out images of ``digits_test.npz`` beside this file. Needs numpy, onnx,
onnxruntime and click, no training framework.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx.checker import ValidationError

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64]

TEST_IMAGES = Path(__file__).parent / "digits_test.npz"
FLOATS = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
    }
)


class NotAModelError(click.ClickException):
    """A file given as a model is no valid ONNX."""

    def __init__(self, path: Path, reason: ValidationError) -> None:
        """Name the file and what ONNX's checker said."""
        super().__init__(f"{path} is not a valid ONNX model: {reason}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the table says about one model.

    Attributes:
        accuracy: percent of the images classified correctly.
        parameters: numbers in floating-point initializers, BatchNorm statistics included.
        bytes: size of the file.
    """

    accuracy: float
    parameters: int
    bytes: int


def read_images(path: Path) -> tuple[FloatArray, LabelArray]:
    """Return images ``(n, 1, 8, 8)``, scaled as the model wants, and labels ``(n,)``."""
    with np.load(path) as arrays:
        return arrays["x"], arrays["y"]


def evaluate(path: Path, images: FloatArray, labels: LabelArray) -> Evaluation:
    """Run one model over the images.

    Raises:
        NotAModelError: if it fails ONNX's checker.
    """
    try:
        onnx.checker.check_model(path)
    except ValidationError as error:
        raise NotAModelError(path, error) from error
    weights = onnx.load(path).graph.initializer
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images})
    return Evaluation(
        accuracy=100 * float(np.mean(logits.argmax(axis=1) == labels)),
        parameters=sum(math.prod(w.dims) for w in weights if w.data_type in FLOATS),
        bytes=path.stat().st_size,
    )


@click.command()
@click.argument(
    "models",
    metavar="MODEL...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--images",
    default=TEST_IMAGES,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An .npz of x and y. Default: digits_test.npz beside this script.",
)
def main(models: tuple[Path, ...], images: Path) -> None:
    """Compare digits models: accuracy on held-out images, parameters, file size."""
    x, y = read_images(images)
    width = max(len("model"), *(len(path.name) for path in models))
    click.echo(f"{'model':<{width}}  accuracy %  parameters  file kB")
    for path in models:
        seen = evaluate(path, x, y)
        click.echo(
            f"{path.name:<{width}}  {seen.accuracy:>10.2f}"
            f"  {seen.parameters:>10,}  {seen.bytes / 1000:>7.1f}"
        )


if __name__ == "__main__":
    main()
