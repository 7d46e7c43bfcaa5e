import json
from pathlib import Path
from typing import Any

import pytest

from spa_onnx.bench.zoo import plain_files, read_zoo
from spa_onnx.errors import BenchFileError

MODEL: dict[str, Any] = {
    "name": "f/m", "family": "f", "framework": "x", "exporter": "y", "file": "f/m.onnx",
}  # fmt: skip


def write(folder: Path, *models: dict[str, Any], **content: Any) -> Path:
    """Write a list of models, and the file that ``MODEL`` names."""
    (folder / "f").mkdir(exist_ok=True)
    (folder / "f" / "m.onnx").touch()
    path = folder / "zoo.json"
    path.write_text(json.dumps({"format": 1, "ratio": 0.5, "models": models} | content))
    return path


def test_a_list_is_read_with_the_places_of_its_files(tmp_path: Path) -> None:
    lost = MODEL | {"name": "g", "file": "", "failure": "no"}
    path = write(tmp_path, MODEL, lost, absent=[{"family": "z", "why": "w"}])
    zoo, (there, missing) = read_zoo(path)
    assert there.path == tmp_path / "f" / "m.onnx"
    assert missing.path is None
    assert zoo.absent[0].why == "w"


def test_links_may_lead_out_of_the_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere, MODEL)
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    (zoo / "f").symlink_to(elsewhere / "f")
    (zoo / "zoo.json").write_text((elsewhere / "zoo.json").read_text())
    assert len(read_zoo(zoo / "zoo.json")[1]) == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"file": "../m.onnx"}, "lies outside the folder"),
        ({"file": "f/../../m.onnx"}, "lies outside the folder"),
        ({"file": "/etc/passwd"}, "lies outside the folder"),
        ({"file": "C:\\m.onnx"}, "lies outside the folder"),
        ({"file": "f/m\0.onnx"}, "lies outside the folder"),
        ({"file": "f/n.onnx"}, "is missing; run models/zoo.py again"),
        ({"file": "f"}, "is missing"),
        ({"file": ""}, "neither a file nor a failure"),
        ({"file": 3}, "field 'file' is 3, not a text"),
        ({"name": ""}, "has no name"),
        ({"least": 60}, "'least' is 60, not between 0 and 1"),
        ({"least": -1}, "'least' is -1"),
        ({"least": 10**400}, "'least' is out of range"),
        ({"least": "0.6"}, "not a number"),
        ({"reason": None}, "field 'reason' is null, not a text"),
    ],
)
def test_hostile_entries_are_refused(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    path = write(tmp_path, MODEL | change)
    with pytest.raises(BenchFileError) as caught:
        read_zoo(path)
    assert text in str(caught.value)
    assert "zoo.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({"format": 2}, "no list of models of format 1"),
        ({"ratio": 0}, "ratio 0 is not between 0 and 1"),
        ({"ratio": None}, "field 'ratio' is null"),
        ({"models": {}}, "field 'models' is an object, not a list"),
        ({"models": [MODEL, MODEL]}, "2 models have the name 'f/m'"),
        ({"models": [MODEL, MODEL | {"name": "other"}]}, "2 models have the file"),
        ({"absent": ["z"]}, "not an object"),
    ],
)
def test_hostile_lists_are_refused(tmp_path: Path, content: dict[str, Any], text: str) -> None:
    with pytest.raises(BenchFileError) as caught:
        read_zoo(write(tmp_path, MODEL, **content))
    assert text in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "\x00"])
def test_files_that_are_no_lists(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zoo.json"
    path.write_text(text)
    with pytest.raises(BenchFileError):
        read_zoo(path)


def test_plain_files_are_named_by_folder_and_file(tmp_path: Path) -> None:
    write(tmp_path, MODEL)
    (one,) = plain_files([tmp_path / "f" / "m.onnx"])
    assert one.entry.name == "f/m"
    with pytest.raises(BenchFileError, match="no such file"):
        plain_files([tmp_path / "none.onnx"])
    with pytest.raises(BenchFileError, match="2 models have the name"):
        plain_files([tmp_path / "f" / "m.onnx"] * 2)
