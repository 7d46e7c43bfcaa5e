"""What kinds of lanes a user may choose or leave whole: the words of ``--granularity``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from spa_onnx.errors import UsageError

Kind = Literal["heads", "head-dims", "ffn", "residual", "experts", "channels"]
"""What a dim is to somebody who knows the architecture; see :mod:`spa_onnx.analyse.kinds`."""

KINDS: tuple[Kind, ...] = get_args(Kind)

WITHOUT = "no-"
"""Put in front of a kind, it leaves dims of this kind whole."""

WORDS = (*KINDS, *(WITHOUT + kind for kind in KINDS))


def chosen_kinds(granularity: Sequence[str]) -> frozenset[Kind]:
    """Return the kinds that may be cut: those that are named, or all, less those with ``no-``.

    Raises:
        UsageError: a word is unknown, or no kind is left.
    """
    unknown = [word for word in granularity if word not in WORDS]
    if unknown:
        raise UsageError(
            f"granularity {unknown[0]!r} is none of {', '.join(KINDS)}, "
            f"or one of these behind {WITHOUT!r}"
        )
    named: frozenset[Kind] = frozenset(kind for kind in KINDS if kind in granularity)
    without: frozenset[Kind] = frozenset(kind for kind in KINDS if WITHOUT + kind in granularity)
    everything: frozenset[Kind] = frozenset(KINDS)
    left = (named or everything) - without
    if not left:
        raise UsageError(f"granularity {','.join(granularity)} leaves no kind of lanes")
    return left
