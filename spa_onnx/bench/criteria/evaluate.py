"""A user's own measure of a model: a function that takes a path and returns a number."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from spa_onnx.errors import EvaluationError

Evaluation = Callable[[str], float]
"""Takes the path of a model, returns its score; higher is better."""


def find_evaluation(name: str) -> Evaluation:
    """Return the function that ``FILE.py:function`` or ``module:function`` names.

    Raises:
        EvaluationError: it cannot be loaded; when called: it fails, or returns no number.
    """
    place, _, function = name.rpartition(":")
    if not place or not function:
        raise EvaluationError(name, "is not of the form FILE.py:function or module:function")
    found: Any = getattr(_module(name, place), function, None)
    if not callable(found):
        raise EvaluationError(name, f"has no function {function!r}")
    score = cast("Callable[[str], float]", found)

    def checked(path: str) -> float:
        try:
            value = float(score(path))
        except Exception as failure:  # code of the user, which may raise anything
            raise EvaluationError(name, f"failed on {path}: {failure!r}") from failure
        if not math.isfinite(value):
            raise EvaluationError(name, f"returned {value} for {path}")
        return value

    return checked


@lru_cache(maxsize=8)
def _module(name: str, place: str) -> ModuleType:
    try:
        return _from_file(Path(place).resolve()) if place.endswith(".py") else import_module(place)
    except Exception as failure:  # importing runs code of the user
        raise EvaluationError(name, f"cannot be loaded: {failure!r}") from failure


def _from_file(path: Path) -> ModuleType:
    name = f"spa_onnx_evaluation_{path.stem}"
    loader = SourceFileLoader(name, str(path))
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
