"""The command line that the scripts exporting from PyTorch share."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click


def export_options(names: Collection[str] | None = None) -> Callable[[Any], Any]:
    """Return a decorator: a folder, which models, and how to run the exports.

    Args:
        names: of the models to choose from; without it, any name is taken.
    """
    kind = click.Choice([*names]) if names else None
    options = (
        click.argument("out", type=click.Path(file_okay=False, path_type=Path)),
        click.option("--model", "names", multiple=True, type=kind, help="Without it, all."),
        click.option("--timeout", default=120.0, show_default=True, help="Seconds for one model."),
        click.option("--again", is_flag=True, help="Try what failed in an earlier run once more."),
        click.option("--seed", default=0, show_default=True),
    )

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
