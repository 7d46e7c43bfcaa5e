"""Runs commands as a user would, on a small model in a folder of its own."""

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result

from spa_onnx.cli import main

Run = Callable[..., Result]


def run(*arguments: str | Path) -> Result:
    """Run ``spa-onnx`` with these arguments."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def leftovers(folder: Path) -> list[str]:
    """Return names that only a run in progress may have."""
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") or "tmp" in p.name)
