from importlib.metadata import EntryPoint

import pytest

import spa_onnx.registry
from tests.spa_onnx.cli.commands import run


def test_our_passes_are_listed_like_any_other() -> None:
    lines = run("passes").stdout.splitlines()
    for name, kind in (("l2", "importance"), ("random", "importance"), ("global", "allocation")):
        (row,) = [k for k, line in enumerate(lines) if line.split()[:2] == [name, kind]]
        assert "spa_onnx.passes." in lines[row + 1]
        assert "(spa-onnx)" in lines[row + 1]


def test_a_pass_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:Pass", "spa_onnx.importance")

    def entry_points(group: str) -> list[EntryPoint]:
        return [broken] if group == broken.group else []

    monkeypatch.setattr(spa_onnx.registry, "entry_points", entry_points)
    result = run("passes")
    assert result.exit_code == 0
    assert "cannot be loaded: No module named 'no_such_module'" in result.stdout
