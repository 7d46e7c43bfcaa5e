"""Read dataclasses from JSON that others wrote: every field has its type, or the reader says where.

Files of a bench are lists of models, results of earlier runs and results of other tools. All are
read by the annotations of the dataclass that they should fill.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from spa_onnx.errors import BenchFileError

T = TypeVar("T")

LARGEST = 2**63 - 1
"""Largest count that any file may hold."""


def read_text(path: Path) -> str:
    """Return a text file.

    Raises:
        BenchFileError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as failure:
        raise BenchFileError(str(path), f"cannot be read ({failure.strerror})") from failure
    except UnicodeDecodeError as failure:
        raise BenchFileError(str(path), "is no UTF-8 text") from failure


def parse(text: str, where: str) -> Any:
    """Return the values of a JSON text.

    Raises:
        BenchFileError: it is no JSON, or holds NaN or infinity.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        return json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as failure:
        raise BenchFileError(where, f"is no JSON ({failure})") from failure


def decode(kind: type[T], value: Any, where: str) -> T:
    """Return a dataclass from the values of a JSON object; fields it does not know are ignored.

    Raises:
        BenchFileError: names the field that is missing or of a wrong type.
    """
    if not isinstance(value, dict):
        raise BenchFileError(where, f"is {_kind(value)}, not an object")
    hints = get_type_hints(kind)
    found: dict[str, Any] = {}
    for entry in fields(kind):  # type: ignore[arg-type]  # the bound of T cannot say: a dataclass
        if entry.name in value:
            found[entry.name] = _value(hints[entry.name], value[entry.name], where, entry.name)
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise BenchFileError(where, f"has no field {entry.name!r}")
    return kind(**found)


def _value(hint: Any, value: Any, where: str, name: str) -> Any:
    """Return a value of the type that an annotation asks for."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return None
        (hint,) = [one for one in arguments if one is not NoneType]
        return _value(hint, value, where, name)
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(hint, value, f"{where}, {name!r}")
    if origin is Literal:
        if value in arguments:
            return value
    elif origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], one, where, name) for one in value)
    elif isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {key: _value(arguments[1], one, where, name) for key, one in value.items()}
    elif hint is bool and isinstance(value, bool):
        return value
    elif hint is str and isinstance(value, str):
        return _text(value, where, name)
    elif hint in (int, float):
        return _number(hint, value, where, name)
    raise BenchFileError(where, f"field {name!r} is {_kind(value)}, not {_expected(hint)}")


def _text(value: str, where: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as failure:  # half a surrogate pair, which no file can hold
        raise BenchFileError(where, f"field {name!r} is no valid text") from failure
    return value


def _number(hint: Any, value: Any, where: str, name: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, hint)):
        raise BenchFileError(where, f"field {name!r} is {_kind(value)}, not {_expected(hint)}")
    if not abs(value) <= LARGEST or not math.isfinite(value):
        raise BenchFileError(where, f"field {name!r} is out of range")
    return hint(value)


def _kind(value: Any) -> str:
    """Name a JSON value shortly."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _expected(hint: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
    if hint in names:
        return names[hint]
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    return "a list" if get_origin(hint) is tuple else "an object"
