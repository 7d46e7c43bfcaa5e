"""Recipes: which passes a run uses, with their options; a small TOML file each.

    align = 4               # kept widths are multiples of this; "vector": of this machine's vectors
    inputs = "given"        # for calibration inputs alone; "made up": for none
    [importance]            # also [allocation] and [compensation]
    pass = "obspa"          # name of an installed pass
    damping = 0.02          # any field of it

Source of the format: TOML 1.0.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from spa_onnx.errors import RecipeError
from spa_onnx.registry import Kind, make_pass

PARTS: tuple[Kind, ...] = ("importance", "allocation", "compensation")
"""Kinds of passes that a recipe names."""

ALIGN, INPUTS = "align", "inputs"
VECTOR: Literal["vector"] = "vector"
Inputs = Literal["given", "made up"]

LARGEST = 1 << 16
"""Bytes that a recipe may have."""


@dataclass(frozen=True, slots=True)
class PassChoice:
    """A pass by name with options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The passes of a run.

    Attributes:
        name: of a recipe of the package, or the path of a file.
        text: the TOML text, which reports keep.
        passes: by kind; a kind that is missing has its default.
        align: of kept widths, a number or ``"vector"``; None has its default.
        inputs: ``"given"``: only for runs with calibration inputs; ``"made up"``: without.
    """

    name: str
    text: str
    passes: Mapping[Kind, PassChoice]
    align: int | Literal["vector"] | None = None
    inputs: Inputs | None = None

    def make(self, kind: Kind) -> Any:
        """Return the pass of a kind; None where the recipe names none.

        Raises:
            UnknownPassError: it is not installed.
            RecipeError: it has no such option, or not of this value.
        """
        choice = self.passes.get(kind)
        if choice is None:
            return None
        try:
            return make_pass(kind, choice.name, choice.options)
        except TypeError as failure:
            raise RecipeError(self.name, f"[{kind}]: pass {choice.name!r}: {failure}") from failure


def installed_recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with the package."""
    found = (entry.name for entry in files("spa_onnx.recipes").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


def find_recipe(name: str) -> Recipe:
    """Return a recipe of the package.

    Raises:
        RecipeError: there is none of this name.
    """
    if name not in installed_recipes():
        known = ", ".join(installed_recipes())
        raise RecipeError(name, f"is no recipe; there are {known}, and --config takes a file")
    return parse_recipe(files("spa_onnx.recipes").joinpath(f"{name}.toml").read_text("utf-8"), name)


def read_recipe(path: str | Path) -> Recipe:
    """Return the recipe of a file.

    Raises:
        RecipeError: it cannot be read, or is none.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise RecipeError(str(path), "is too long for a recipe")
        return parse_recipe(data.decode("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as failure:
        raise RecipeError(str(path), f"cannot be read ({failure})") from failure


def parse_recipe(text: str, name: str) -> Recipe:
    """Return the recipe that a text holds.

    Raises:
        RecipeError: it is no TOML, or names what a recipe does not have.
    """
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as failure:
        raise RecipeError(name, f"is no TOML ({failure})") from failure
    known = (*PARTS, ALIGN, INPUTS)
    unknown = [key for key in content if key not in known]
    if unknown:
        raise RecipeError(name, f"has {unknown[0]!r}; a recipe has {', '.join(known)}")
    inputs = content.get(INPUTS)
    if inputs not in (None, *get_args(Inputs)):
        words = " or ".join(f'"{word}"' for word in get_args(Inputs))
        raise RecipeError(name, f"has inputs = {inputs!r}; that is {words}")
    passes: dict[Kind, PassChoice] = {
        k: _choice(content[k], k, name) for k in PARTS if k in content
    }
    return Recipe(name, text, passes, _align(content.get(ALIGN), name), inputs)


def _align(value: Any, name: str) -> int | Literal["vector"] | None:
    if value is None or value == VECTOR:
        return None if value is None else VECTOR
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise RecipeError(name, f'has align = {value!r}; that is a positive number, or "{VECTOR}"')


def _choice(table: Any, kind: str, name: str) -> PassChoice:
    if not isinstance(table, dict) or not isinstance(table.get("pass"), str):
        raise RecipeError(name, f'[{kind}] needs a line such as pass = "..."')
    options = {key: _value(value) for key, value in table.items() if key != "pass"}
    return PassChoice(table["pass"], options)


def _value(value: Any) -> Any:
    """Return a value in the form that frozen dataclasses hold: lists become tuples."""
    return tuple(map(_value, value)) if isinstance(value, list) else value
