"""An analysis for people: the prunable dims, and the fixed axes by reason.

Lines are laid out by hand, since names of tensors and nodes are long: one that does not fit stands
on a line of its own and is never broken.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from spa_onnx.report.analysis import AnalysisReport, MemberReport, PrunableReport, SparedReport
from spa_onnx.report.causes import CauseGroup, cause, group_causes
from spa_onnx.report.report import Refusal
from spa_onnx.report.words import count, share, short, size, some, weight_axes

SHOWN_NODES, SHOWN_MEMBERS = 3, 2

COLUMNS = (
    ("kind", 11),
    ("lanes", 7),
    ("rows", 6),
    ("params", 9),
    ("ops", 9),
    ("-params", 9),
    ("-ops", 9),
)
"""Titles and widths of the numbers behind the name of a dim."""

NUMBERS = sum(width for _, width in COLUMNS)
NARROWEST = 24
"""Least columns for names, whatever the width of the window."""


def print_analysis(console: Console, report: AnalysisReport, *, why: bool) -> None:
    """Print the dims, and with ``why`` every fixed weight axis."""
    total = report.size
    _line(console, report.model)
    _line(
        console,
        f"{total.parameters:,} parameters, {short(total.operations)} operations, "
        f"{size(total.bytes)} of weights, {count(len(report.dims), 'prunable dim')}",
    )
    if report.dims:
        _print_dims(console, report.dims)
    if report.spared:
        _print_spared(console, report.spared)
    for operator, nodes in report.unknown_operators.items():
        _line(console, f"\nno rule for {operator} ({count(nodes, 'node')}): pruning stops there")
    if report.fixed:
        _line(console, f"\n{weight_axes(len(report.fixed))} cannot be cut{':' if why else ''}")
    if why:
        for group in group_causes(report.fixed):
            _print_group(console, group)
    elif report.fixed:
        _line(console, "(--why says what fixes them)")


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True)


def _print_dims(console: Console, dims: Sequence[PrunableReport]) -> None:
    longest = max(len(d.name) for d in dims)
    width = min(longest, max(NARROWEST, console.width - NUMBERS))
    titles = "".join(f"{title:>{wide}}" for title, wide in COLUMNS)
    console.print(f"\n{'dim':<{width}}{titles}", style="bold", soft_wrap=True)
    for dim in dims:
        name = dim.name
        if len(name) > width:
            _line(console, name)
            name = ""
        numbers = "".join(
            f"{text:>{wide}}" for text, (_, wide) in zip(_numbers(dim), COLUMNS, strict=True)
        )
        _line(console, f"{name:<{width}}{numbers}")
        _line(console, f"  {_members(dim.members)}")
    _line(
        console,
        "\nparams, ops: share that runs along the dim; a weight between two dims counts for both\n"
        "-params, -ops: what the first removed lane saves; in all rows where a dim has rows",
    )


def _print_spared(console: Console, spared: Sequence[SparedReport]) -> None:
    """Print the dims that another granularity would cut, by kind."""
    _line(console, "\nnot cut, but another --granularity could:")
    for kind in dict.fromkeys(d.kind for d in spared):
        dims = [f"{d.name} ({d.lanes:,})" for d in spared if d.kind == kind]
        _line(console, f"  {kind}: {some(dims, SHOWN_NODES)}")


def _numbers(dim: PrunableReport) -> tuple[str, ...]:
    return (
        dim.kind,
        f"{dim.lanes:,}",
        "" if dim.rows is None else f"{dim.rows:,}",
        share(dim.parameters.share, 1),
        share(dim.operations.share, 1),
        short(dim.parameters.marginal),
        short(dim.operations.marginal),
    )


def _members(members: Sequence[MemberReport]) -> str:
    """Return the weights that lose a lane together, those that make the lanes first."""
    order = ("produces", "consumes", "follows")
    ranked = sorted(members, key=lambda m: order.index(m.role))
    return some([f"{m.tensor}[{m.axis}]" for m in ranked], SHOWN_MEMBERS)


def _print_group(console: Console, group: CauseGroup) -> None:
    console.print(f"\n{_heading(group)}", style="bold", soft_wrap=True)
    tensors = _by_tensor(group)
    width = min(max(map(len, tensors)), max(NARROWEST, console.width // 2))
    for tensor, fixed in tensors.items():
        lengths = ", ".join(f"{f.axis}:{f.length}" for f in fixed)
        line = f"{short(fixed[0].parameters):>8}  {tensor:<{width}}  axis {lengths}"
        nodes = _nodes(fixed, roots=len(group.nodes) > 1)
        if len(line) + 2 + len(nodes) > console.width:
            line += "\n" + " " * 9
        _line(console, f"{line}  {nodes}".rstrip())


def _heading(group: CauseGroup) -> str:
    """Return the reasons of a group, how much they cover, and the node if there is only one."""
    kinds = "; ".join(f"{operator}: {text}" for operator, text in group.kinds)
    covered = f"{weight_axes(len(group.axes))}, {short(group.parameters)} parameters"
    node = f"\n  by {group.nodes[0]}" if len(group.nodes) == 1 else ""
    return f"{kinds or 'no reason was recorded'} ({covered}){node}"


def _by_tensor(group: CauseGroup) -> dict[str, list[Refusal]]:
    found: dict[str, list[Refusal]] = {}
    for fixed in group.axes:
        found.setdefault(fixed.tensor, []).append(fixed)
    return found


def _nodes(fixed: Sequence[Refusal], *, roots: bool) -> str:
    """Return who fixed the axes of a tensor, with ``roots``, and where they met what was fixed."""
    causes = [cause(reason) for f in fixed for reason in f.reasons]
    nodes = list(dict.fromkeys(c.node for c in causes)) if roots else []
    met = list(dict.fromkeys(c.met for c in causes if c.met))
    at = f"at {some(met, SHOWN_NODES)}" if met else ""
    return ", ".join(filter(None, (some(nodes, SHOWN_NODES), at)))
