"""Time a lowered model against its original on the GPU, with tensors that stay there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from spa_onnx.errors import LoweredRefusedError, OriginalRefusedError
from spa_onnx.latency.measure import Comparison, Run, Stopwatch
from spa_onnx.lower.cuda.sessions import Refused, Sessions
from spa_onnx.lower.sizes import Feeds
from spa_onnx.lower.whole import in_turns


@dataclass(frozen=True, slots=True)
class GpuContest:
    """Models that are timed on the same inputs.

    Attributes:
        label: of the original in messages.
        original: path of the dense model.
        feeds: inputs.
        sessions: where models run.
        watch: decides how often they run.
    """

    label: str
    original: Path
    feeds: Feeds
    sessions: Sessions
    watch: Stopwatch

    def against(self, lowered: Path) -> Comparison:
        """Time a lowered model against the original.

        Raises:
            OriginalRefusedError: ONNX Runtime does not run the original.
            LoweredRefusedError: it does not run the lowered one.
        """
        dense = partial(self._opened, self.original, partial(OriginalRefusedError, self.label))
        packed = partial(self._opened, lowered, LoweredRefusedError)
        return in_turns(self.watch, dense, packed)

    def _opened(self, model: Path, refused: Refused) -> Run:
        session = self.sessions.open(model, refused)
        return self.sessions.run(session, self.feeds, refused)
