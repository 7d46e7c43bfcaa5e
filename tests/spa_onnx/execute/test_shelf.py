"""The shelf gives back what it got, and leaves no files behind."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from spa_onnx.execute.shelf import Shelf


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


ARRAYS = {
    "floats": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "none": np.zeros((0, 3), np.float16),
    "one": np.array(5, np.int64),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("memory", [0, 50, 10_000])
def test_arrays_come_back_whatever_the_memory(memory: int, folder: Path) -> None:
    with Shelf(memory) as shelf:
        for key, array in ARRAYS.items():
            shelf.put(key, array)
        for key, array in ARRAYS.items():
            found = shelf.get(key)
            assert found.dtype == array.dtype
            assert np.array_equal(found, array)
        assert (shelf.spilled > 0) == (memory < 100)
    assert not list(folder.iterdir())


def test_dropping_gives_memory_and_files_back(folder: Path) -> None:
    with Shelf(100) as shelf:
        shelf.put("a", np.zeros(100, np.uint8))
        shelf.put("b", np.zeros(100, np.uint8))
        assert shelf.spilled == 100
        shelf.drop("a")
        shelf.drop("b")
        assert not list(next(folder.iterdir()).iterdir())
        shelf.put("c", np.zeros(100, np.uint8))
        assert shelf.spilled == 100
        with pytest.raises(KeyError):
            shelf.get("a")


def test_another_array_under_a_key_replaces_the_first(folder: Path) -> None:
    with Shelf(100) as shelf:
        for _ in range(5):
            shelf.put("a", np.zeros(60, np.uint8))
        assert shelf.spilled == 0


def test_files_go_when_something_fails(folder: Path) -> None:
    with pytest.raises(KeyError), Shelf(0) as shelf:
        _put_and_fail(shelf)
    assert not list(folder.iterdir())


def _put_and_fail(shelf: Shelf) -> None:
    shelf.put("a", np.zeros(9))
    shelf.get("b")
