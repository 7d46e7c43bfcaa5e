"""Numbers as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence


def share(part: float, whole: float) -> str:
    """Return a part as percent of the whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def short(number: float) -> str:
    """Return a count in three digits, with k, M, G or T."""
    for unit in ("", " k", " M", " G"):
        if abs(number) < 999.5:
            return f"{number:#.3g}".rstrip(".") + unit if unit else f"{number:.0f}"
        number /= 1000
    return f"{number:#.3g}".rstrip(".") + " T"


def size(number: int) -> str:
    """Return bytes in decimal units, as file managers do."""
    return f"{short(number)}B" if number >= 1000 else f"{number} B"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, ``1 node`` or ``2 nodes``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def weight_axes(number: int) -> str:
    """Return a number of weight axes in words."""
    return f"{number:,} weight axis" if number == 1 else f"{number:,} weight axes"


def some(names: Sequence[str], shown: int) -> str:
    """Return the first names, and how many more there are."""
    text = ", ".join(names[:shown])
    return f"{text} and {len(names) - shown} more" if len(names) > shown else text


def milliseconds(seconds: float) -> str:
    """Return a time with three or four digits."""
    return f"{1e3 * seconds:.4g} ms"
