"""``spa-onnx passes``: which passes are installed."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint

import click

from spa_onnx.cli.terminal import console


@click.command()
def passes() -> None:
    """List the installed passes by kind, and where each comes from."""
    from rich.table import Table

    from spa_onnx.registry import KINDS, installed

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("name", "kind", "what it does, and where it comes from"):
        table.add_column(title, overflow="fold")
    for kind in KINDS:
        for name, entry in installed(kind).items():
            owner = entry.dist.name if entry.dist else "unknown distribution"
            table.add_row(name, kind, f"{_summary(entry)}\n  {entry.module} ({owner})")
    with console() as screen:
        screen.print(table)


def _summary(entry: EntryPoint) -> str:
    """Return the first line of a pass's docstring; a pass that does not load says why."""
    try:
        loaded = entry.load()
    except (ImportError, AttributeError) as failure:
        return f"cannot be loaded: {failure}"
    return (inspect.getdoc(loaded) or "no description").splitlines()[0]
