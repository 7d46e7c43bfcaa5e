"""Files that a command writes: checked before the work starts, complete or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from spa_onnx.errors import UsageError


def check_output(path: Path) -> None:
    """Refuse a model destination that can never be written, before any work is done.

    Raises:
        UsageError: its folder is missing, or it is a folder, a device or a pipe.
    """
    _check_folder("--output", path)
    if path.exists() and not path.is_file():
        raise UsageError(f"--output {str(path)!r} is no regular file; give -o another path")


def check_texts(texts: Mapping[str, Path], models: Mapping[str, Path]) -> None:
    """Refuse text files that would overwrite a model or each other.

    Args:
        texts: destinations by option.
        models: paths that must survive, by what they are.

    Raises:
        UsageError: names the option.
    """
    taken = dict(models)
    for option, path in texts.items():
        _check_folder(option, path)
        for owner, other in taken.items():
            if _same(path, other):
                raise UsageError(f"{option} {str(path)!r} is {owner}; give it another path")
        taken[f"the file of {option}"] = path


def weights_of(model: Path, texts: Iterable[Path]) -> dict[str, Path]:
    """Return the files beside a model that hold its weights, if one of ``texts`` exists already."""
    if not any(path.is_file() for path in texts):
        return {}
    from spa_onnx.load.model import load

    return {f"the model's weights {n}": model.parent / n for n in load(model).weights.sources}


def write_text(path: Path, text: str) -> None:
    """Write a file under a temporary name and rename it; devices and pipes are written directly.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as failure:
        raise UsageError(f"{path} cannot be written ({failure.strerror})") from failure


def _check_folder(option: str, path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{option} {str(path)!r} is a folder; give the path of a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {str(path)!r}: there is no folder {str(path.parent)!r}")


def _same(a: Path, b: Path) -> bool:
    return a.resolve() == b.resolve() or (a.exists() and b.exists() and a.samefile(b))
