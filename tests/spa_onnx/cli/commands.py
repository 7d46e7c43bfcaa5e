"""Runs commands as a user would, and looks at the files they leave."""

from pathlib import Path
from typing import Any

import onnx
from click.testing import CliRunner, Result

from spa_onnx.cli import main


def run(*arguments: str | Path) -> Result:
    """Run ``spa-onnx`` with these arguments."""
    return CliRunner().invoke(main, [str(a) for a in arguments])


def leftovers(folder: Path) -> list[str]:
    """Return names that only a run in progress may have."""
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".") or "tmp" in p.name)


def read_model(path: Path) -> onnx.ModelProto:
    """Return a model whose weights are inside its file."""
    return onnx.ModelProto.FromString(path.read_bytes())


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a model with its weights inside."""
    path.write_bytes(model.SerializeToString())


def write_outside(model: onnx.ModelProto, path: Path, weights: str) -> None:
    """Write a model whose weights lie in a file beside it."""
    library: Any = onnx  # its annotations are partial
    library.save(model, path, save_as_external_data=True, location=weights, size_threshold=0)
