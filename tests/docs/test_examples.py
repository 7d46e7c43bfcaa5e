"""What the documentation shows is run as it stands there."""

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from numpy.typing import NDArray

import spa_onnx
from spa_onnx.cli import main
from spa_onnx.inputs.preprocess import read_preprocess
from spa_onnx.ops.rules import RULES
from spa_onnx.recipe import PARTS, parse_recipe
from spa_onnx.score.weights import DimWeights

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def blocks(page: str, language: str) -> list[str]:
    """Return the code of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter an empty folder in which ``models/`` is that of the repository."""
    (tmp_path / "models").symlink_to(ROOT / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spa(*arguments: str, path: Path | None = None) -> str:
    """Run the real command; modules and distributions in ``path`` are installed for it."""
    found = [str(path), *filter(None, [os.environ.get("PYTHONPATH")])] if path else None
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found)} if found else None
    command = [sys.executable, "-m", "spa_onnx", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_page_runs(folder: Path) -> None:
    names: dict[str, Any] = {}
    for code in blocks("docs/python.md", "python"):
        exec(compile(code, "docs/python.md", "exec"), names)
    assert {p.name for p in folder.iterdir()} == {
        "models", "pruned.onnx", "smaller.onnx", "plan.json",
    }  # fmt: skip


def test_the_calibration_page_runs(folder: Path) -> None:
    (code,), (steps,) = (blocks("docs/calibration.md", n) for n in ("python", "toml"))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/calibration.md", "exec"), names)
    repair = names["repair"]
    assert repair.samples == 250
    assert repair.after < repair.before / 2
    (folder / "steps.toml").write_text(steps)
    made = read_preprocess(folder / "steps.toml")
    assert made is not None
    assert (made.size, made.shorter, made.std) == ((32, 32), 36, (0.229, 0.224, 0.225))


def test_the_passes_page_is_a_distribution_that_works(folder: Path) -> None:
    (code,), (metadata, recipe) = (
        blocks("docs/passes.md", "python"),
        blocks("docs/passes.md", "toml"),
    )
    assert set(parse_recipe(recipe, "docs/passes.md").passes) == set(PARTS)
    (folder / "my_passes.py").write_text(code)
    information = folder / "my_passes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-passes\nVersion: 1.0\n")
    groups = tomllib.loads(metadata)["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in groups.items()
    ]
    (information / "entry_points.txt").write_text("".join(lines))
    assert "my_passes (my-passes)" in spa("passes", path=folder)
    (command,) = blocks("docs/passes.md", "sh")
    arguments = command.replace("model.onnx", "models/digits/digits.onnx").split()[1:]
    assert "power" in spa(*arguments, path=folder)
    assert (folder / "pruned.onnx").stat().st_size < 500_000


def test_the_readme_runs(folder: Path) -> None:
    example, importance = blocks("README.md", "python")
    names: dict[str, Any] = {
        "dataclass": dataclass, "np": np, "NDArray": NDArray, "DimWeights": DimWeights,
    }  # fmt: skip
    exec(compile(example, "README.md", "exec"), names)
    exec(compile(importance, "README.md", "exec"), names)
    config = spa_onnx.PruneConfig(importance=names["Largest"]())
    result = spa_onnx.prune("models/digits/digits.onnx", config)
    assert result.report.after.parameters < result.report.before.parameters


def test_the_readme_shows_what_is_printed(folder: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^    \$ spa-onnx (prune .*)\n((?:    .*\n)+)", text, re.MULTILINE)
    assert match is not None
    shown = [line.strip() for line in match[2].splitlines()]
    printed = [line.strip() for line in spa(*match[1].split()).splitlines()]
    assert shown[:5] == printed[:5]  # the sizes; differences and seconds vary
    assert [s.split()[0] for s in shown] == [p.split()[0] for p in printed]


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Return the commands that do something, by what a user types."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


COMMANDS = commands(main)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented(command: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {command}\n")[2].partition("\n## ")[0]
    assert section
    options = [o for p in COMMANDS[command].params for o in p.opts if o.startswith("--")]
    assert [o for o in options if o not in section and o != "--output"] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_operators_are_counted_and_none_of_those_without_a_rule_has_one() -> None:
    own = sum(name.startswith("com.microsoft::") for name in RULES)
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"{len(RULES)} operators have rules" in readme
    assert f", {own} of them ONNX Runtime's" in readme
    table = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")]
    domain = ""
    for first, names, _ in rows:
        domain = first.strip(" `") or domain
        prefix = "" if domain == "ai.onnx" else f"{domain}::"
        assert not {prefix + name for name in re.split(r"[,\s]+", names)} & RULES.keys()
