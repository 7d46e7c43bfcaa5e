"""Compare a lowered model of 16 bits with its original, by how far each is from float32.

float32 ─┬─ original of 16 bits     as far as the rounding of its type takes it
         └─ lowered one             must not be much further
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.errors import LoweredDiffersError, LoweredRefusedError, OriginalRefusedError
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import RefusedError
from spa_onnx.lower.check import MOST, ROUNDING, Agreement
from spa_onnx.lower.cuda.errors import RangeError
from spa_onnx.lower.cuda.sessions import Sessions, Tensors
from spa_onnx.lower.sizes import Feeds
from spa_onnx.normalise.graph import Graph
from spa_onnx.prove.distance import distance, magnitude
from spa_onnx.runtime.packed_kinds import ValueType

UNIT = {ValueType.FLOAT32: 2.0**-24, ValueType.FLOAT16: 2.0**-11, ValueType.BFLOAT16: 2.0**-8}
"""What rounding to a type changes a number by at most, as a share of it."""


@dataclass(frozen=True, slots=True)
class HalfCheck:
    """What lowered models are compared with.

    Attributes:
        label: of the original in messages.
        original: path of the dense model of 16 bits.
        exact: the same model, or the one that it was converted from, in float32.
        feeds: inputs of float32.
        values: the type that the original computes in.
        sessions: where models run.
        memory: bytes of weights that the float32 model may have in a session.
    """

    label: str
    original: Path
    exact: Graph
    feeds: Feeds
    values: ValueType
    sessions: Sessions
    memory: int

    def agreement(self, lowered: Path) -> Agreement:
        """Return how far a lowered model is from float32.

        Raises:
            LoweredDiffersError: further than rounding explains.
            LoweredRefusedError: ONNX Runtime does not run it.
            OriginalRefusedError: ONNX Runtime does not run the original.
            RangeError: the original computes numbers that its type does not hold.
        """
        session = self.sessions.open(lowered, LoweredRefusedError)
        found = self.sessions.outputs(session, self.feeds, LoweredRefusedError)
        names = [entry.name for entry in session.get_outputs()]
        del session  # before another takes its memory
        exact, roundings = self._reference(names)
        worst = Agreement(0.0, self._least)
        for name, a, b, rounding in zip(names, found, exact, roundings, strict=True):
            if rounding is None:
                continue
            tolerance = max(self._least, min(MOST, ROUNDING * rounding))
            difference = apart(a, b)
            if not difference <= tolerance:
                raise LoweredDiffersError(name, difference, tolerance)
            if difference / tolerance >= worst.difference / worst.tolerance:
                worst = Agreement(difference, tolerance)
        return worst

    @property
    def _least(self) -> float:
        """Return the tolerance where the original's own rounding is less, or not known."""
        return ROUNDING * UNIT[self.values]

    def _reference(self, names: list[str]) -> tuple[Tensors, Sequence[float | None]]:
        """Return the outputs in float32, and how far the original is from each.

        None stands for an output whose very shape is decided by rounding.
        """
        refused = partial(OriginalRefusedError, self.label)
        try:
            made = open_session(self.exact.model, self.exact.weights, names, memory=self.memory)
            exact = made.run(names, self.feeds)
        except RefusedError as failure:
            raise refused(str(failure)) from failure
        if not self.sessions.compute_in(self.values):
            return exact, [0.0] * len(names)
        session = self.sessions.open(self.original, refused)
        own = self.sessions.outputs(session, self.feeds, refused)
        pairs = list(zip(own, exact, strict=True))
        roundings = [apart(a, b) if a.shape == b.shape else None for a, b in pairs]
        for name, rounding in zip(names, roundings, strict=True):
            if rounding is not None and not isfinite(rounding):
                raise RangeError(self.label, name, self.values.dtype.name)
        return exact, roundings


def apart(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return how far a tensor is from another, in shares of its scale.

    Of integers and truth values, which say what was chosen, it is the share that differs: how far
    from each other two choices lie says nothing.
    """
    if a.shape == b.shape and b.dtype.kind in "biu" and b.size:
        return float(np.mean(a != b))
    return distance(a, b, magnitude(b))
