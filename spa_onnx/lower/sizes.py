"""Inputs that a model is run on here, and the shapes of its tensors in that run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spa_onnx.analyse.propagate import propagate
from spa_onnx.checks import check_input_shapes
from spa_onnx.execute.feeds import symbols_in
from spa_onnx.execute.runtime import open_session
from spa_onnx.inputs.made_up import made_up
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.view import View
from spa_onnx.normalise.graph import Graph

Shape = tuple[int, ...]
Feeds = Mapping[str, Any]


def make_inputs(graph: Graph, config: LowerConfig) -> dict[str, Any]:
    """Return one item for every input.

    Raises:
        InputShapeError: a given shape contradicts the model.
        CalibrationError: the model runs with none of the inputs that were tried.
    """
    check_input_shapes(graph, config.input_shapes)
    state = propagate(graph, config.input_shapes)
    batches = made_up(state, config.input_shapes, 1, config.seed, config.memory)
    return dict(next(iter(batches.first(1))))


@dataclass(slots=True)
class Shapes:
    """Shapes of tensors in one run.

    Attributes:
        view: of the graph.
        feeds: inputs of the run.
        runs: the graph that is run to see shapes: the same, or one that computes in other types.
        symbols: numbers of symbolic lengths.
        seen: shapes that were seen in the run, of tensors whose sizes do not follow.
    """

    view: View
    feeds: Feeds
    runs: Graph
    symbols: Mapping[str, int]
    seen: dict[str, Shape] = field(default_factory=dict)

    @staticmethod
    def of(view: View, feeds: Feeds, runs: Graph | None = None) -> Shapes:
        """Return the shapes of a run."""
        return Shapes(view, feeds, runs or view.graph, symbols_in(view.state, feeds))

    def __call__(self, name: str) -> Shape | None:
        """Return the shape of a tensor; None where it is not known."""
        if name in self.seen:
            return self.seen[name]
        if name in self.feeds and isinstance(self.feeds[name], np.ndarray):
            return tuple(self.feeds[name].shape)
        return self.view.shape(name, self.symbols)

    def look(self, names: Iterable[str]) -> None:
        """Run the model to see the shapes of tensors that are not known."""
        unknown = [name for name in dict.fromkeys(names) if self(name) is None]
        if not unknown:
            return
        session = open_session(self.runs.model, self.runs.weights, unknown, short=True)
        for name, found in zip(unknown, session.run(unknown, self.feeds), strict=True):
            self.seen[name] = tuple(found.shape)
