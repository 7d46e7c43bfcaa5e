"""Budgets: how much of a model may stay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from spa_onnx.errors import UsageError


@dataclass(frozen=True, slots=True)
class Ratio:
    """Remove this share of the lanes of every prunable dim."""

    removed: float

    def __post_init__(self) -> None:
        if not 0 <= self.removed < 1:
            raise UsageError(f"ratio {self.removed} is not in [0, 1)")


@dataclass(frozen=True, slots=True)
class KeepFlops:
    """Keep at most this share of the operations."""

    share: float

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, slots=True)
class KeepParams:
    """Keep at most this share of the parameters."""

    share: float

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, slots=True)
class KeepSize:
    """Keep at most this share of the bytes of all weights."""

    share: float

    def __post_init__(self) -> None:
        _check_share(self.share)


@dataclass(frozen=True, slots=True)
class MaxLatency:
    """Take at most this long for one run on this machine.

    Attributes:
        seconds: of wall-clock time.
        share: of the original's latency, in place of seconds.
    """

    seconds: float | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.share is None):
            raise UsageError("a latency is given in seconds or as a share, one of both")
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise UsageError(f"latency of {self.seconds} s is not a positive time")
        if self.share is not None and not 0 < self.share <= 1:
            raise UsageError(f"share {self.share} of the latency is not in (0, 1]")


Budget = Ratio | KeepFlops | KeepParams | KeepSize | MaxLatency


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise UsageError(f"kept share {share} is not in (0, 1]")
