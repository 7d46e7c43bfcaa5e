"""Tables of markdown whose cells hold any text."""

from __future__ import annotations

import re
from collections.abc import Sequence

LONGEST = 240
"""Characters of a text in a cell."""


COLOUR = re.compile("\x1b\\[[0-9;]*m")
"""What colours a text on a terminal, as complaints of exporters may be."""


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], right: int = 0) -> list[str]:
    """Return a table; columns from ``right`` on are numbers, none for 0."""
    marks = ["---:" if right and k >= right else "---" for k in range(len(titles))]
    lines = [f"| {' | '.join(titles)} |", f"|{'|'.join(marks)}|"]
    return lines + [f"| {' | '.join(map(escaped, row))} |" for row in rows]


def escaped(text: str) -> str:
    """Return a text as it may stand in a cell: one line, of bounded length, without markup."""
    line = " ".join("".join(map(_plain, COLOUR.sub("", text))).split())
    line = line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
    for mark in "\\|`<*":
        line = line.replace(mark, f"\\{mark}")
    return line


def _plain(letter: str) -> str:
    return letter if letter.isprintable() else " "
