"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from spa_onnx.errors import UsageError

Shape = tuple[str, tuple[int, ...]]


class InputShapeType(click.ParamType):
    """``NAME:1,3,224,224``; the name itself may hold colons."""

    name = "NAME:1,3,224,224"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Shape:
        """Return name and shape."""
        if isinstance(value, tuple):
            return value
        name, colon, lengths = str(value).rpartition(":")
        try:
            shape = tuple(int(n) for n in lengths.split(","))
        except ValueError:
            shape = ()
        if not (colon and name and shape and all(n > 0 for n in shape)):
            self.fail(f"{value!r} is not of the form NAME:1,3,224,224", param, ctx)
        return name, shape


FILE = click.Path(path_type=Path)

model_argument = click.argument("model", type=FILE)
output_option = click.option(
    "-o", "--output", type=FILE, required=True, metavar="OUT", help="Where to write the result."
)
exclude_option = click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave nodes, tensors and dims of this shell pattern whole. Repeatable.",
)
input_shape_option = click.option(
    "--input-shape",
    "input_shapes",
    multiple=True,
    type=InputShapeType(),
    help="Numbers for an input with symbolic axes. Repeatable.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="For passes and inputs that are drawn.",
)
verify_option = click.option(
    "--no-verify", "proved", flag_value=False, default=True, help="Skip the proof."
)
quiet_option = click.option("--quiet", is_flag=True, help="Print nothing but errors.")
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON to standard output.")


def shapes_by_name(shapes: Iterable[Shape]) -> dict[str, tuple[int, ...]]:
    """Return shapes by input name.

    Raises:
        UsageError: two shapes for one input.
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, shape in shapes:
        if found.setdefault(name, shape) != shape:
            raise UsageError(f"--input-shape gives input {name!r} two shapes")
    return found
