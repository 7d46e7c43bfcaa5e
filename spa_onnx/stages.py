"""The clock of a run: tells of each stage as it starts, and keeps how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

Observer = Callable[[str], None]
"""Called with the name of each stage as it starts."""


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
