"""A model and its weights outside appear together, whenever the process is killed."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx.load.model import load
from tests.builders import GraphBuilder

Weights = dict[str, np.ndarray]


class KilledError(BaseException):
    """The process is gone: nothing after it touches a file."""


class FileSystem:
    """Lets the process live for a number of changes to files.

    A write is two changes: the empty file, and its contents.
    """

    def __init__(self, patch: pytest.MonkeyPatch, changes: int, stops: type[BaseException]) -> None:
        self.left, self.stops, self.stopped = changes, stops, False
        for owner, name in ((Path, "replace"), (Path, "unlink"), (os, "link")):
            patch.setattr(owner, name, self.counted(getattr(owner, name)))
        write = Path.write_bytes

        def write_bytes(path: Path, data: bytes) -> int:
            self.count()
            path.open("wb").close()
            self.count()
            return write(path, data)

        patch.setattr(Path, "write_bytes", write_bytes)

    def count(self) -> None:
        if self.stopped and self.stops is not KilledError:
            return  # it is told to end, and cleans up
        self.left -= 1
        if self.left < 0:
            self.stopped = True
            raise self.stops

    def counted(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **facts: Any) -> Any:
            self.count()
            return change(*args, **facts)

        return counted


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with weights outside."""
    g = GraphBuilder(opset=13)
    x = g.gemm(g.relu(g.gemm(g.input("x", (1, 60)), 100)), 7)
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "model.onnx"
    onnx.save_model(g.model(x), str(path), save_as_external_data=True, location="weights.bin")
    return path


def prune(model: Path, target: Path, ratio: float) -> None:
    config = spa_onnx.PruneConfig(spa_onnx.Ratio(ratio), "l2", verify=False)
    spa_onnx.prune(model, config, output=target)


def weights(path: Path) -> Weights:
    """Read a model as ONNX Runtime does: onnx itself refuses weights that have a second name."""
    model = load(path)
    return {t.name: model.weights.array(t) for t in model.skeleton.graph.initializer}


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def stopped_at_every_change(
    model: Path, folder: Path, stops: type[BaseException], patch: pytest.MonkeyPatch
) -> list[Path]:
    """Replace a result, stopped after 0, 1, 2 ... changes; return a folder for each."""
    made = []
    for changes in itertools.count():
        made.append(folder / str(changes))
        made[-1].mkdir(parents=True)
        prune(model, made[-1] / "out.onnx", 0.25)
        with patch.context() as inner:
            files = FileSystem(inner, changes, stops)
            try:
                prune(model, made[-1] / "out.onnx", 0.5)
            except stops:
                continue
            assert not files.stopped
            return made
    raise AssertionError


@pytest.mark.parametrize("stops", [KilledError, SystemExit])
@pytest.mark.parametrize("links", [True, False])
def test_a_replaced_model_has_its_own_weights_at_every_moment(
    model: Path,
    tmp_path: Path,
    stops: type[BaseException],
    links: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    prune(model, tmp_path / "old.onnx", 0.25)
    prune(model, tmp_path / "new.onnx", 0.5)
    old, new = weights(tmp_path / "old.onnx"), weights(tmp_path / "new.onnx")
    folders = stopped_at_every_change(model, tmp_path / "all", stops, monkeypatch)
    assert len(folders) > 6
    broken = 0
    for folder in folders:
        try:
            found = weights(folder / "out.onnx")
        except spa_onnx.ModelError:
            broken += 1
            continue
        assert same(found, old) or same(found, new)
        names = {p.name for p in folder.iterdir()}
        if stops is SystemExit and links and same(found, old):
            assert names == {"out.onnx", "out.onnx.data"}
    assert broken <= (0 if links else 2), "without links there is one such moment"
    assert same(weights(folders[0] / "out.onnx"), old)
    assert same(weights(folders[-1] / "out.onnx"), new)
    assert {p.name for p in folders[-1].iterdir()} == {"out.onnx", "out.onnx.data"}


def refuse(*_: object, **__: object) -> None:
    raise OSError("no links here")


def test_a_first_model_is_complete_or_not_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune(model, tmp_path / "new.onnx", 0.5)
    new = weights(tmp_path / "new.onnx")
    for changes in range(4):
        folder = tmp_path / str(changes)
        folder.mkdir()
        with monkeypatch.context() as inner:
            FileSystem(inner, changes, KilledError)
            with pytest.raises(KilledError):
                prune(model, folder / "out.onnx", 0.5)
        if (folder / "out.onnx").exists():
            assert same(weights(folder / "out.onnx"), new)


def test_a_stray_file_of_weights_is_overwritten(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out.onnx.data").write_bytes(b"stray")
    prune(model, tmp_path / "out.onnx", 0.5)
    prune(model, tmp_path / "other.onnx", 0.5)
    assert same(weights(tmp_path / "out.onnx"), weights(tmp_path / "other.onnx"))
    names = {"in", "out.onnx", "out.onnx.data", "other.onnx", "other.onnx.data"}
    assert {p.name for p in tmp_path.iterdir()} == names
