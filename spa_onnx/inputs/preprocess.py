"""What turns pictures and tokens into a model's inputs, as a user describes it."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from spa_onnx.errors import PreprocessError

Resize = Literal["crop", "stretch", "pad"]
Filter = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Channels = Literal["RGB", "BGR"]
Layout = Literal["NCHW", "NHWC"]

LARGEST = 1 << 20
"""Bytes of a description that are read."""


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How files become inputs. What is None follows from the model.

    Attributes:
        size: height and width of a picture.
        resize: ``crop`` scales the shorter side and cuts the middle out, ``stretch`` ignores the
            picture's proportions, ``pad`` fits it into a black frame.
        shorter: length of the shorter side before the middle is cut out; else that it just fits.
        interpolation: filter of the resizing.
        scale: factor of the pixels, which are 0 to 255.
        mean: subtracted behind the scaling, one number or one for each channel in their order.
        std: divided by at last, likewise.
        channels: order of the colours.
        layout: where the channels are.
        pad_id: token that fills short texts up.
        length: tokens at which longer texts are cut.
    """

    size: tuple[int, int] | None = None
    resize: Resize = "crop"
    shorter: int | None = None
    interpolation: Filter = "bilinear"
    scale: float | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    channels: Channels = "RGB"
    layout: Layout | None = None
    pad_id: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        for name, given, words in (
            ("resize", self.resize, get_args(Resize)),
            ("interpolation", self.interpolation, get_args(Filter)),
            ("channels", self.channels, get_args(Channels)),
            ("layout", self.layout, (None, *get_args(Layout))),
        ):
            if given not in words:
                choices = ", ".join(w for w in words if w)
                raise PreprocessError("", f"{name} {given!r} is not one of {choices}")
        for name, lengths in (
            ("size", self.size or ()),
            ("shorter", () if self.shorter is None else (self.shorter,)),
            ("length", () if self.length is None else (self.length,)),
        ):
            if not all(1 <= n <= LONGEST for n in lengths):
                raise PreprocessError("", f"{name} must be from 1 to {LONGEST}")
        if not all(map(math.isfinite, (*self.mean, *self.std, self.scale or 0.0))) or 0 in self.std:
            raise PreprocessError("", "mean, std and scale must be finite, and std not zero")


LONGEST = 1 << 14
"""Pixels of a side, and tokens of a text."""

PRESETS: Mapping[str, Preprocess] = {
    "imagenet": Preprocess(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "symmetric": Preprocess(mean=(0.5,), std=(0.5,)),
}
"""Descriptions that have a name: of torchvision's models, and of models that see -1 to 1."""


def read_preprocess(source: Any) -> Preprocess | None:
    """Return a description from one, the name of a preset, or a TOML or JSON file.

    Raises:
        PreprocessError: it cannot be read, or a line of it has no meaning.
    """
    if source is None or isinstance(source, Preprocess):
        return source
    if str(source) in PRESETS:
        return PRESETS[str(source)]
    path = Path(source)
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise PreprocessError(str(path), "is too long for a description")
        decoded = text.decode()
        found = json.loads(decoded) if path.suffix == ".json" else tomllib.loads(decoded)
    except OSError as failure:
        names = " or ".join(PRESETS)
        problem = f"cannot be read ({failure.strerror}); give a .toml or .json file, or {names}"
        raise PreprocessError(str(path), problem) from failure
    except (ValueError, RecursionError) as failure:
        raise PreprocessError(str(path), f"is no TOML or JSON ({failure})") from failure
    if not isinstance(found, dict):
        raise PreprocessError(str(path), "is no table of names and values")
    return _described(found, str(path))


def _described(found: Mapping[str, Any], source: str) -> Preprocess:
    """Return the description that a table of plain values stands for."""
    known = {f.name for f in fields(Preprocess)}
    unknown = sorted(set(found) - known)
    if unknown:
        problem = f"{unknown[0]!r} is not one of {', '.join(sorted(known))}"
        raise PreprocessError(source, problem)
    try:
        return Preprocess(**{name: _value(name, given) for name, given in found.items()})
    except (TypeError, ValueError, OverflowError) as failure:
        raise PreprocessError(source, str(failure)) from failure
    except PreprocessError as failure:
        raise PreprocessError(source, str(failure).removeprefix("preprocessing : ")) from failure


def _value(name: str, given: Any) -> Any:
    """Return a plain value in the type of its field."""
    if name in ("resize", "interpolation", "channels", "layout"):
        if not isinstance(given, str):
            raise TypeError(f"{name} is no word")
        return given
    numbers = given if isinstance(given, list) else [given]
    kinds = (int, float) if name in ("mean", "std", "scale") else (int,)
    if not numbers or any(isinstance(n, bool) or not isinstance(n, kinds) for n in numbers):
        raise TypeError(f"{name} is no number that fits")
    if name == "size":
        if len(numbers) > 2:
            raise ValueError("size is one length or two, height and width")
        return (numbers[0], numbers[-1])
    if name in ("mean", "std"):
        return tuple(map(float, numbers))
    if isinstance(given, list):
        raise TypeError(f"{name} is one number, no list")
    return float(given) if name == "scale" else given
