"""A written model that waits for its name: complete or not there, whenever the process ends."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx

from spa_onnx.graph.tensors import all_tensors


@dataclass(slots=True)
class PendingFile:
    """A model written under a temporary name beside its destination.

    Attributes:
        path: the temporary model file; it can be loaded and verified.
        target: its destination.
        weights: the temporary file of weights outside the model; None if all are inside.
    """

    path: Path
    target: Path
    weights: Path | None
    _named: bool = False

    @property
    def data(self) -> Path:
        """Return the destination of weights outside the model."""
        return self.target.with_name(self.target.name + ".data")

    def commit(self) -> None:
        """Give the model its name, replacing what was there.

        Whenever the process ends, the file of that name is the old model or the new one, each with
        its own weights.
        """
        if self.weights is None:
            self.path.replace(self.target)
        elif self.target.exists() and self.data.exists():
            self._exchange(self.weights)
        else:  # no model reads the file of weights yet
            self._relocate(self.path, self.weights)
            self.weights.replace(self.data)
            self.path.replace(self.target)

    def _exchange(self, weights: Path) -> None:
        """Replace a model and its weights where the old ones are in use until the last moment.

            model ─ temporary   ->   model ─ temporary = data   ->   model ─ data

        In the middle both names are the new weights: renaming the model switches from one to the
        other at once. (Of weights with two names onnx's own loader wants nothing to know, ONNX
        Runtime takes them; the next run that replaces the model ends that.)
        """
        self._named = True
        self.path.replace(self.target)
        self._relocate(self.target, weights)
        try:
            os.link(weights, _link(weights))
        except OSError:  # a file system without links: for a moment the model lacks its weights
            weights.replace(self.data)
        else:
            _link(weights).replace(self.data)
        self.path.replace(self.target)

    def _relocate(self, source: Path, weights: Path) -> None:
        """Write the model of ``source`` to ``path``, with its weights at their destination."""
        model = onnx.ModelProto.FromString(source.read_bytes())
        for tensor in all_tensors(model):
            for entry in tensor.external_data:
                if entry.key == "location" and entry.value == weights.name:
                    entry.value = self.data.name
        self.path.write_bytes(model.SerializeToString())

    def clean_up(self) -> None:
        """Remove temporary files, but not weights that the named model still reads there."""
        self.path.unlink(missing_ok=True)
        if self.weights is None:
            return
        _link(self.weights).unlink(missing_ok=True)
        if not (self._named and self.weights.name.encode() in self.target.read_bytes()):
            self.weights.unlink(missing_ok=True)


def _link(weights: Path) -> Path:
    return weights.with_name(f"{weights.name}.link")


def pending(target: Path, *, outside: bool) -> PendingFile:
    """Return empty temporary files for a model, and for weights ``outside`` of it.

    Raises:
        OSError: the folder cannot be written.
    """
    path = _temporary(target, ".onnx")
    return PendingFile(path, target, _temporary(target, ".data") if outside else None)


def _temporary(target: Path, suffix: str) -> Path:
    # ONNX Runtime takes weights in a file whose name starts with two dots for ones outside
    handle, name = tempfile.mkstemp(suffix, f".{target.name.lstrip('.')}.", target.parent)
    umask = os.umask(0)
    os.umask(umask)
    os.fchmod(handle, 0o666 & ~umask)
    os.close(handle)
    return Path(name)
