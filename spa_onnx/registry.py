"""Find passes by name through entry points; ours are registered as anyone else's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from spa_onnx.errors import DuplicatePassError, PassLoadError, UnknownPassError

Kind = Literal["importance", "compensation", "allocation", "structure", "sparsity"]
KINDS: tuple[Kind, ...] = ("importance", "compensation", "allocation", "structure", "sparsity")


def installed(kind: Kind) -> dict[str, EntryPoint]:
    """Return the installed passes of a kind by name.

    Raises:
        DuplicatePassError: two distributions use one name.
    """
    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for entry in entry_points(group=f"spa_onnx.{kind}"):
        if entry.value not in {e.value for e in found[entry.name]}:
            found[entry.name].append(entry)
    for name, entries in found.items():
        if len(entries) > 1:
            raise DuplicatePassError(
                kind, name, [e.dist.name if e.dist else e.value for e in entries]
            )
    return {name: entries[0] for name, entries in sorted(found.items())}


def find_pass(kind: Kind, choice: Any) -> Any:
    """Return the pass called ``choice`` with its default fields; a pass object comes back as it is.

    Raises:
        UnknownPassError: no installed pass has this name.
        PassLoadError: it cannot be imported, or needs arguments.
    """
    if not isinstance(choice, str):
        return choice
    try:
        return make_pass(kind, choice, {})
    except TypeError as failure:
        raise PassLoadError(kind, choice, installed(kind)[choice].value, str(failure)) from failure


def make_pass(kind: Kind, name: str, options: Mapping[str, Any]) -> Any:
    """Return the pass of a name with these fields.

    Raises:
        UnknownPassError: no installed pass has this name.
        PassLoadError: it cannot be imported.
        TypeError: it has no such field, or needs one that is missing.
        UsageError: the pass refuses a value.
    """
    known = installed(kind)
    if name not in known:
        raise UnknownPassError(kind, name, list(known))
    try:
        made = known[name].load()
    except (ImportError, AttributeError) as failure:
        raise PassLoadError(kind, name, known[name].value, str(failure)) from failure
    return made(**options)
