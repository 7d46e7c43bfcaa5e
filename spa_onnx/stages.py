"""The clock of a run: tells of each stage as it starts, and keeps how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

Observer = Callable[[str], None]
"""Called with the name of each stage as it starts."""


@runtime_checkable
class PartObserver(Protocol):
    """An observer that is also told how far the stage is that it heard of last."""

    def part(self, done: int, total: int) -> None:
        """Hear of a step."""
        ...


@dataclass(slots=True)
class Stages:
    """Times stages and tells an observer of them."""

    observer: Observer | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str) -> Generator[None]:
        """Announce a stage and add the time that it takes."""
        if self.observer is not None:
            self.observer(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def part(self, done: int, total: int) -> None:
        """Tell an observer that wants to know how far the present stage is."""
        if isinstance(self.observer, PartObserver):
            self.observer.part(done, total)
