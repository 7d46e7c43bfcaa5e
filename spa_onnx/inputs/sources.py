"""Calibration inputs in the forms that users have them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.errors import CalibrationError, CalibrationFileError, PreprocessError
from spa_onnx.inputs.array_files import read_npy, read_npz
from spa_onnx.inputs.batches import ArrayBatches, Batches, Feed
from spa_onnx.inputs.check import Checker
from spa_onnx.inputs.image_folder import find_images, picture_input, read_images, spread
from spa_onnx.inputs.iterables import as_array, read_iterable
from spa_onnx.inputs.preprocess import Preprocess, read_preprocess
from spa_onnx.inputs.record import record
from spa_onnx.inputs.signature import signature_of
from spa_onnx.inputs.token_lines import read_token_lines

SAMPLES = 512
"""Items that are used where the user does not say how many: more repair little better."""

FORMS = "an .npz, .npy or .jsonl file, or a folder of images"

Tell = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """Checked inputs.

    Attributes:
        batches: the inputs.
        notes: what a user should know of them.
    """

    batches: Batches
    notes: tuple[str, ...]


@dataclass(slots=True)
class ReadOnce:
    """A source that is read once, however often a run starts again: it may be a generator.

    Attributes:
        source: any form of calibration inputs.
        inputs: what became of it.
    """

    source: Any
    inputs: CalibrationInputs | None = None


def read_calibration(
    source: Any,
    state: Propagation,
    samples: int | None = None,
    preprocess: Any = None,
    tell: Tell | None = None,
) -> CalibrationInputs:
    """Return calibration inputs as batches that fit a model.

    Args:
        source: a path (``.npz``, ``.npy``, ``.jsonl``, a folder of images), arrays by input name,
            one array for a model with one input, an iterable of these, or batches.
        state: the solved graph, for names, types and shapes of its inputs.
        samples: most items to use.
        preprocess: what makes inputs of files: a description, a preset's name, or a path.
        tell: told how many items are read, of how many at most.

    Raises:
        CalibrationError: they do not fit the model's inputs, or teach nothing.
        PreprocessError: the description is broken, or not for this source.
    """
    if isinstance(source, ReadOnce):
        if source.inputs is None:
            source.inputs = read_calibration(source.source, state, samples, preprocess, tell)
        return source.inputs
    reader = _Reader(Checker(signature_of(state)), samples, read_preprocess(preprocess), tell)
    batches = reader.read(source)
    reader.checker.finish()
    return CalibrationInputs(batches, tuple(reader.checker.notes))


@dataclass(frozen=True, slots=True)
class _Reader:
    checker: Checker
    samples: int | None
    preprocess: Preprocess | None
    tell: Tell | None

    @property
    def limit(self) -> int:
        """Most items, at least those of one batch of a fixed size."""
        limit, fixed = self.samples or SAMPLES, self.checker.signature.fixed
        return max(fixed, limit - limit % fixed) if fixed else limit

    def read(self, source: Any) -> Batches:
        if isinstance(source, str | Path):
            return self._path(Path(source))
        if self.preprocess is not None:
            raise PreprocessError("", "is for folders of images and lines of tokens, not arrays")
        if isinstance(source, Batches):
            return self._batches(source)
        if isinstance(source, Mapping):
            return self._arrays({str(n): as_array(a, f"array {n!r}") for n, a in source.items()})
        if hasattr(source, "__array__"):
            return self._array(as_array(source, "the array"))
        if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray):
            return record(read_iterable(source, self.checker), self.checker, self.limit, self.tell)
        hint = "call it and give what it returns" if callable(source) else f"give {FORMS}, arrays"
        raise CalibrationError(
            f"{type(source).__name__} is no form of calibration inputs: {hint}, or an iterable"
        )

    def _path(self, path: Path) -> Batches:
        if path.is_dir():
            return self._images(path)
        if not path.is_file():
            problem = "is no regular file" if path.exists() else "no such file or folder"
            raise CalibrationFileError(str(path), problem, f"Give {FORMS}")
        ending = path.suffix.lower()
        if ending == ".jsonl":
            lines = read_token_lines(path, self.checker, self.preprocess or Preprocess())
            return record(lines, self.checker, self.limit, self.tell)
        if self.preprocess is not None and ending in (".npy", ".npz"):
            raise PreprocessError("", "is for folders of images and lines of tokens, not arrays")
        if ending == ".npy":
            return self._array(read_npy(path))
        if ending == ".npz":
            arrays = read_npz(path)
            if len(arrays) == 1:
                return self._array(next(iter(arrays.values())), next(iter(arrays)))
            return self._arrays(arrays)
        problem = f"{ending or 'a name without an ending'!r} is no form of calibration inputs"
        raise CalibrationFileError(str(path), problem, f"Give {FORMS}")

    def _images(self, folder: Path) -> Batches:
        steps = self.preprocess or Preprocess()
        picture = picture_input(self.checker.signature, steps)
        found = find_images(folder)
        if self.preprocess is None:
            self.checker.note(
                "images were fed with pixels from 0 to 1 and nothing else; models often want a "
                "mean and a deviation: say so with --preprocess"
            )
        if len(found) > self.limit:
            self._note_more(len(found))
        paths = spread(found, self.limit)
        pieces = read_images(paths, picture, steps)
        return record(pieces, self.checker, self.limit, self._tell_of(len(paths)))

    def _tell_of(self, total: int) -> Tell | None:
        """Return what tells of a known number of items."""
        tell = self.tell
        return None if tell is None else lambda done, _limit: tell(done, total)

    def _batches(self, source: Batches) -> Batches:
        chosen = source if self.samples is None else source.first(self.samples)
        self.checker.exact = True
        for feeds in chosen:
            self.checker.batch({str(n): as_array(a, f"array {n!r}") for n, a in feeds.items()})
        return chosen

    def _array(self, array: Feed, name: str = "") -> Batches:
        inputs = self.checker.signature.inputs
        if len(inputs) == 1:
            return self._arrays({next(iter(inputs)): array})
        if name in inputs:
            return self._arrays({name: array})
        raise CalibrationError(
            f"one array for {len(inputs)} inputs: {self.checker.signature.names()}. "
            "Give an array for each by its name"
        )

    def _arrays(self, arrays: Mapping[str, Feed]) -> Batches:
        """Return arrays as batches, of which every one is checked once."""
        signature = self.checker.signature
        self.checker.names(arrays)
        self.checker.shapes({name: array.shape for name, array in arrays.items()})
        count = signature.count(arrays)
        chosen = None
        if count > self.limit:
            self._note_more(count)
            chosen = np.arange(self.limit) * count // self.limit  # arrays may be sorted by class
        ordered = signature.ordered(arrays)
        size = signature.batch_size({n: a.shape for n, a in arrays.items()})
        axes = {s.name: s.items for s in signature}
        whole = signature.fixed is not None
        raw = ArrayBatches(ordered, size, axes=axes, whole=whole, chosen=chosen)
        left_out = min(count, self.limit) - raw.samples
        if left_out:
            text = (
                f"{left_out} calibration items were left out: the model runs on batches of {size}"
            )
            self.checker.note(text)
        for feeds in raw:
            self.checker.batch(feeds)
            if self.tell is not None:
                self.tell(self.checker.items, raw.samples)
        return replace(raw, dtypes={s.name: s.dtype for s in signature})

    def _note_more(self, count: int) -> None:
        if self.samples is None:
            self.checker.note(
                f"{self.limit} of {count} calibration items are used, evenly chosen; "
                "--samples takes more"
            )
