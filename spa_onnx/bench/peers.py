"""Results of other tools on the same models, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spa_onnx.bench.columns import seconds
from spa_onnx.bench.records import decode, parse, read_text
from spa_onnx.bench.rows import Row, middle, percent
from spa_onnx.errors import BenchFileError


@dataclass(frozen=True, slots=True)
class PeerResult:
    """What one tool made of one model.

    Attributes:
        model: name of the model, as in the list of models.
        tool: name of the tool.
        version: of the tool.
        valid: whether ONNX Runtime loads and runs what it wrote.
        removed: share of the parameters.
        seconds: of the tool's own work.
        error: why there is no valid file.
        file: of the model, as in the list; counts before its name where both are given.
    """

    model: str
    tool: str
    valid: bool
    version: str | None = None
    removed: float | None = None
    seconds: float | None = None
    error: str | None = None
    file: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return what the model may be called in the list."""
        return tuple(name.removesuffix(".onnx") for name in (self.file, self.model) if name)


Peers = Mapping[str, Mapping[str, PeerResult]]
"""By tool with its version, then by the name of the model."""


def read_peers(path: Path, names: Sequence[str]) -> tuple[dict[str, dict[str, PeerResult]], int]:
    """Return the results for the named models, and how many lines were about others.

    Of several lines for one model and tool the last counts.

    Raises:
        BenchFileError: the file cannot be read, or a line is no result.
    """
    known = set(names)
    found: dict[str, dict[str, PeerResult]] = {}
    others = 0
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        result = decode(PeerResult, parse(line, where), where)
        if result.removed is not None and not result.removed <= 1:
            raise BenchFileError(where, f"removed is {result.removed:g}, not a share")
        name = next((name for name in result.names if name in known), None)
        if name is None:
            others += 1
            continue
        tool = f"{result.tool} {result.version or ''}".strip()
        found.setdefault(tool, {})[name] = result
    return found, others


def cell(result: PeerResult | None) -> str:
    """Return what a tool made of a model, for a column of its own."""
    if result is None:
        return ""
    if not result.valid:
        text = (result.error or "invalid").strip().splitlines()[:1] or ["invalid"]
        return text[0] if len(text[0]) <= 60 else f"{text[0][:57]}..."
    spent = "" if result.seconds is None else f" in {seconds(result.seconds)}"
    return f"{percent(result.removed) or 'valid'}{spent}"


SUMMARY = (
    "tool",
    "tried",
    "valid",
    "removed, median",
    "seconds, median",
    "valid in both",
    "there: theirs",
    "there: ours",
    "theirs s",
    "ours s",
)


def summary(peers: Peers, rows: Sequence[Row]) -> list[list[str]]:
    """Return a line for each tool; ours stands beside it on the models where both are valid."""
    ours = {row.entry.name: row.result for row in rows if row.pruned and row.result is not None}
    lines = []
    for tool, results in peers.items():
        valid = {name: r for name, r in results.items() if r.valid}
        common = [name for name in valid if name in ours]
        compile_seconds = (ours[n].compile_seconds for n in common)
        lines.append(
            [
                tool,
                f"{len(results)}",
                f"{len(valid)} ({percent(len(valid) / len(results), 0)})",
                percent(middle(r.removed for r in valid.values())),
                seconds(middle(r.seconds for r in valid.values()), ""),
                f"{len(common)}",
                percent(middle(valid[n].removed for n in common)),
                percent(middle(ours[n].removed for n in common)),
                seconds(middle(valid[n].seconds for n in common), ""),
                seconds(middle(compile_seconds), ""),
            ]
        )
    return lines
