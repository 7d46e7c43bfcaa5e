"""The list of the zoo: scripts that fail or are missing are told of, and never end the rest."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spa_onnx.bench.zoo import read_zoo

MODELS = Path(__file__).parents[2] / "models"

GOOD = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
(out / "legacy").mkdir(exist_ok=True)
(out / "legacy" / "a.onnx").write_text("model")
(out / "b.dynamo.onnx").write_text("model")
lines = [("a.onnx", ""), ("c.onnx", "ValueError: no"), ("d.onnx", ""), ("b.dynamo.onnx", "first")]
(out / "exports.jsonl").write_text("".join(
    json.dumps({"path": path, "failure": failure}) + "\\n" for path, failure in lines[1:]
))
print("| a table |")
sys.exit(1)
"""
"""A script of which one export fails, one file is gone and one succeeded later."""


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script, with two scripts of its own instead of ours."""
    monkeypatch.syspath_prepend(str(MODELS))
    module: Any = importlib.import_module("zoo")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "good.py").write_text(GOOD)
    (scripts / "bad.py").write_text("import no_such_module")
    variants = {"*.dynamo*": "new"}
    sources = (
        module.Source("bad", "bad.py", "x", "old", ("json",)),
        module.Source("absent", "good.py", "x", "old", ("no_such_module",), "keras"),
        module.Source("good", "good.py", "x", "old", ("json",), "jax", (), variants),
    )
    monkeypatch.setattr(module, "SCRIPTS", scripts)
    monkeypatch.setattr(module, "SOURCES", sources)
    expectations: Any = importlib.import_module("expectations")
    less = expectations.Less("good/b*", 0.3, "a reason")
    monkeypatch.setattr(expectations, "EXCEPTIONS", (less,))
    return module


def call(zoo: Any, *arguments: str | Path) -> Result:
    return CliRunner().invoke(zoo.main, [str(a) for a in arguments])


def test_a_script_that_fails_does_not_end_the_rest(zoo: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call(zoo, out)
    assert result.exit_code == 0, result.output
    assert "2 of 4 exported" in result.stdout
    listed, models = read_zoo(out / "zoo.json")
    assert {a.family: a.why for a in listed.absent} == {
        "bad": "bad.py ended with exit code 1 and left no model",
        "absent": f"{sys.executable} lacks one of no_such_module; pip install -e '.[keras]', and "
        "give its interpreter with --python keras=...",
    }
    found = {one.entry.name: one.entry for one in models}
    assert list(found) == ["good/b.dynamo", "good/c", "good/d", "good/legacy/a"]
    assert found["good/c"].failure == "ValueError: no"
    assert "not there any more" in found["good/d"].failure
    assert found["good/b.dynamo"].file == "good/b.dynamo.onnx"
    assert (found["good/b.dynamo"].exporter, found["good/legacy/a"].exporter) == ("new", "old")
    assert (found["good/b.dynamo"].least, found["good/b.dynamo"].reason) == (0.3, "a reason")
    assert (found["good/legacy/a"].least, found["good/legacy/a"].reason) == (0.6, "")


def test_a_folder_is_listed_without_exporting(zoo: Any, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "mine.onnx").touch()
    assert call(zoo, tmp_path, "--index-only").exit_code == 0
    listed, (mine,) = read_zoo(tmp_path / "zoo.json")
    assert mine.entry.name == "good/mine"
    assert {a.why for a in listed.absent} == {"no folder"}


def test_a_framework_may_have_an_interpreter_of_its_own(zoo: Any, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert call(zoo, tmp_path / "out", "--python", f"jax={other}").exit_code == 0
    assert (tmp_path / "out" / "good" / "b.dynamo.onnx").exists()
    result = call(zoo, tmp_path / "out", "--python", "torch=python")
    assert result.exit_code == 2
    assert "is not NAME=PATH with NAME of jax, keras" in result.output


def test_every_script_and_every_exception_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    module: Any = importlib.import_module("zoo")
    scripts = {path.name for path in MODELS.glob("*_zoo.py")}
    assert {source.script for source in module.SOURCES} == scripts
    assert all(0 < one.least < module.USUAL and one.reason for one in module.EXCEPTIONS)
    families = {source.name for source in module.SOURCES} | {"*"}
    patterns = [one.pattern for one in module.EXCEPTIONS] + list(module.REFUSALS)
    assert {pattern.split("/")[0] for pattern in patterns} <= families
    listing = call(module, "--list").stdout
    assert all(text in listing for text in (*scripts, *patterns))


def test_a_failed_export_of_a_builder_is_told_by_the_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    handwritten: Any = importlib.import_module("handwritten_zoo")
    out = tmp_path / "handwritten"
    builders = {"half_cnn": handwritten.BUILDERS["half_cnn"], "broken": int}
    with pytest.raises(SystemExit):
        importlib.import_module("model_files").write_all(out, builders, ())
    lines = [json.loads(line) for line in (out / "exports.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["half_cnn.onnx", "broken.onnx"]
    assert lines[0]["failure"] == ""
    assert lines[1]["failure"].startswith("AttributeError: ")


def test_a_hundred_stacked_blocks_are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(MODELS))
    stacked: Any = importlib.import_module("stacked_blocks")
    result = CliRunner().invoke(stacked.main, ["--blocks", "1", "--blocks", "100", "--runs", "1"])
    assert result.exit_code == 0, result.output
    rows = [line.split("|")[1:3] for line in result.stdout.splitlines()[2:]]
    assert [[name.strip(), int(number)] for name, number in rows] == [
        ["transformer", 1], ["transformer", 100], ["residual", 1], ["residual", 100],
    ]  # fmt: skip
