"""A folder of pictures, decoded one by one and turned into what a model sees."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.errors import CalibrationError, CalibrationFileError, PreprocessError
from spa_onnx.inputs.batches import Feeds
from spa_onnx.inputs.check import is_float
from spa_onnx.inputs.preprocess import Preprocess
from spa_onnx.inputs.signature import InputSpec, Signature

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")

MOST_PIXELS = 1 << 26
"""Pixels of a picture that is decoded: a small file may claim many more than fit into memory."""

BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
    OverflowError, MemoryError, RuntimeError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
"""What decoders raise on broken files."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Shape of the input that gets pictures.

    Attributes:
        spec: the input.
        last: channels are the last axis.
        channels: 1 or 3.
        size: height and width; None if the model leaves them open.
    """

    spec: InputSpec
    last: bool
    channels: int
    size: tuple[int, int] | None


def picture_input(signature: Signature, steps: Preprocess) -> Picture:
    """Return the one input that takes pictures.

    Raises:
        CalibrationError: there is none, or others want something too.
    """
    spec = next(iter(signature), None)
    if len(signature.inputs) != 1 or spec is None or len(spec.shape) != 4 or spec.items != 0:
        raise CalibrationError(
            "a folder of images feeds a model with one input of four axes; the inputs are "
            f"{signature.names()}. Give an .npz file with an array for every input"
        )
    counts = (1, 3)
    last = steps.layout == "NHWC"
    if steps.layout is None:
        last = spec.shape[1] not in counts and spec.shape[3] in counts
    channels = spec.shape[3 if last else 1]
    if not isinstance(channels, int) or channels not in counts:
        raise CalibrationError(
            f"input {spec.name!r} {spec.text} has no axis of 1 or 3 channels where images have "
            'them. Say where with layout = "NCHW" or "NHWC" in --preprocess, or give an array'
        )
    size = spec.shape[1:3] if last else spec.shape[2:4]
    height, width = size
    fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    if fixed and steps.size and fixed != steps.size:
        problem = f"size {steps.size} is not that of input {spec.name!r} {spec.text}"
        raise PreprocessError("", problem)
    for name, values in (("mean", steps.mean), ("std", steps.std)):
        if len(values) not in (1, channels):
            problem = f"{name} has {len(values)} numbers, input {spec.name!r} {channels} channels"
            raise PreprocessError("", problem)
    return Picture(spec, last, channels, fixed or steps.size)


def find_images(folder: Path) -> list[Path]:
    """Return the pictures of a folder and the folders in it, sorted by path.

    Raises:
        CalibrationFileError: there are none.
    """
    try:
        found = sorted(
            p
            for p in folder.rglob("*")
            if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file()
        )
    except OSError as failure:
        problem = f"cannot be read ({failure.strerror})"
        raise CalibrationFileError(str(folder), problem, "Check its rights") from failure
    if not found:
        endings = ", ".join(sorted(ENDINGS))
        problem = "the folder holds no images"
        raise CalibrationFileError(str(folder), problem, f"Images end with {endings}")
    return found


def spread(found: list[Path], limit: int) -> list[Path]:
    """Return at most ``limit`` files, evenly over all: folders are often sorted by class."""
    if len(found) <= limit:
        return found
    return [found[k * len(found) // limit] for k in range(limit)]


def read_images(paths: list[Path], picture: Picture, steps: Preprocess) -> Iterator[Feeds]:
    """Yield pictures as batches of one.

    Raises:
        CalibrationError: Pillow is missing, or a file is broken; names it.
    """
    try:
        import PIL.Image
    except ImportError as failure:
        raise CalibrationError(
            "images are decoded by Pillow, which is not installed. "
            "Install it with `pip install 'spa-onnx[images]'`"
        ) from failure
    size = picture.size
    for path in paths:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes, which are checked, and of odd metadata
                pixels = _pixels(path, picture, size, steps)
        except (*BROKEN, PIL.Image.DecompressionBombError) as failure:
            problem = f"is no image that can be read ({failure})"
            raise CalibrationFileError(str(path), problem, "Repair or remove it") from failure
        size = size or (pixels.shape[0], pixels.shape[1])
        yield {picture.spec.name: _values(pixels, picture, steps)[None]}


def _pixels(
    path: Path, picture: Picture, size: tuple[int, int] | None, steps: Preprocess
) -> NDArray[np.uint8]:
    """Return the pixels of a file, at its own size if none is asked for."""
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            problem = f"claims {image.width} x {image.height} pixels"
            raise CalibrationFileError(str(path), problem, "Make it smaller or remove it")
        colours = image.convert("L" if picture.channels == 1 else "RGB")
    return _fitted(colours, size or (colours.height, colours.width), steps)


def _fitted(image: Image, size: tuple[int, int], steps: Preprocess) -> NDArray[np.uint8]:
    """Return the pixels at a size, shape ``(height, width[, 3])``."""
    from PIL import Image, ImageOps

    height, width = size
    how = Image.Resampling[steps.interpolation.upper()]
    if steps.resize == "stretch":
        image = image.resize((width, height), how)
    elif steps.resize == "pad":
        image = ImageOps.pad(image, (width, height), how)
    else:
        scale = max(width / image.width, height / image.height)
        if steps.shorter is not None:
            scale = max(scale, steps.shorter / min(image.size))
        # a line of pixels would become a huge picture before its middle is cut out
        visible = (
            min(image.width, round(width / scale + 2)), min(image.height, round(height / scale + 2))
        )  # fmt: skip
        if scale * scale * image.width * image.height > MOST_PIXELS:
            image = _middle(image, *visible)
        wide = max(width, round(image.width * scale))
        high = max(height, round(image.height * scale))
        if (wide, high) != image.size:
            image = image.resize((wide, high), how)
        image = _middle(image, width, height)
    return np.asarray(image, np.uint8)


def _middle(image: Image, width: int, height: int) -> Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if (left, top) == (0, 0) and image.size == (width, height):
        return image
    return image.crop((left, top, left + width, top + height))


def _values(pixels: NDArray[np.uint8], picture: Picture, steps: Preprocess) -> NDArray[Any]:
    """Return pixels as the model sees them."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if steps.channels == "BGR":
        pixels = pixels[:, :, ::-1]
    if is_float(picture.spec.dtype):
        scale = 1 / 255 if steps.scale is None else steps.scale
        scaled = pixels.astype(np.float32) * np.float32(scale)
        made = (scaled - np.array(steps.mean, np.float32)) / np.array(steps.std, np.float32)
        values: NDArray[Any] = made
    else:
        values = pixels
    return values if picture.last else np.ascontiguousarray(values.transpose(2, 0, 1))
