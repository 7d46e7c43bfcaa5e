"""What a pass of each kind looks like; ours and yours are found through the same entry points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spa_onnx.analyse.dims import Analysis
from spa_onnx.score.weights import DimWeights

FloatArray = NDArray[np.float64]

Need = Literal["moments", "distortion"]
"""What a pass asks the engine for beside weights.

``moments``: the consumers of dims with second moments of their inputs, see
:meth:`~spa_onnx.score.weights.DimWeights.consumers`. ``distortion``: for an allocation, measured
curves of how far the network's outputs move as a dim shrinks.
"""


@runtime_checkable
class Importance(Protocol):
    """Says how much a unit of a dim is worth; higher means keep.

    Entry point group ``spa_onnx.importance``; a frozen dataclass, its fields are its options. A
    class may have two more attributes: ``needs``, a frozen set of :data:`Need`, and ``comparable``,
    true where scores of different dims are in one unit already and must not be normalised by dim.
    One that looks at all dims at once has a second method, see :class:`WholeNetwork`.
    """

    def score(self, weights: DimWeights, rng: np.random.Generator) -> FloatArray:
        """Return the worth of every unit, shape ``(units,)``, finite and non-negative.

        ``rng`` is seeded by the user's ``--seed`` and the dim's name.
        """
        ...


@runtime_checkable
class WholeNetwork(Protocol):
    """A pass that has to see the whole network before it can score a dim.

    An importance pass with this method is asked once, and what it returns scores the dims.
    """

    def prepare(self, analysis: Analysis, weights: Sequence[DimWeights]) -> Importance:
        """Return what scores the dims.

        Args:
            analysis: the solved graph; its ``propagation.graph`` has nodes and weights.
            weights: of every dim, in the order of ``analysis.dims``.
        """
        ...


def needs_of(chosen: object) -> frozenset[Need]:
    """Return what a pass declares that it needs."""
    found: frozenset[Need] = getattr(chosen, "needs", frozenset())
    return found
