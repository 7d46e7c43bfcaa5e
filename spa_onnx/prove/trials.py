"""Runs of the original: at sizes and along branches that it accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from spa_onnx.analyse.propagate import Propagation
from spa_onnx.errors import RuntimeRefusedError, UnknownShapeError
from spa_onnx.execute.feeds import make_feeds, symbol_choices
from spa_onnx.execute.runtime import Branch, open_session
from spa_onnx.execute.session import Feeds, NotLoadedError, RefusedError, Session
from spa_onnx.load.model import LoadedModel


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the original.

    Attributes:
        symbols: numbers of its dynamic axes.
        feeds: inputs.
        branch: what its Ifs were forced to take.
        tensors: what it computed.
        pieces: number of pieces that it ran in.
    """

    symbols: Mapping[str, int]
    feeds: Feeds
    branch: Branch | None
    tensors: Sequence[NDArray[Any]]
    pieces: int


TRIALS = 2
"""Sizes of dynamic axes that are compared."""


def run_original(
    original: LoadedModel,
    state: Propagation,
    names: Sequence[str],
    seed: int,
    input_shapes: Mapping[str, tuple[int, ...]],
    memory: int,
) -> list[Trial]:
    """Run the original at the first sizes that it accepts, through every branch of its Ifs."""
    open_ifs = frozenset(
        node.outputs[0]
        for node in state.graph.nodes
        if node.op == "If" and state.value_of(node.inputs[0]) is None
    )
    trials: list[Trial] = []
    failure = ""
    both = [Branch(taken, open_ifs) for taken in (True, False)] if open_ifs else []
    for branch in (*both, None):
        if branch is None and trials:
            break  # both branches were run already
        try:
            session = open_session(state.graph.model, original.weights, names, branch, memory)
            found, failure = _runs(session, state, names, seed, input_shapes, branch)
        except NotLoadedError as refusal:
            if branch is None:
                raise RuntimeRefusedError(original.label, "load", str(refusal)) from refusal
            continue
        trials += found
        del session
    if not trials:
        raise _cannot_run(original, state, failure)
    return trials


def _runs(
    session: Session,
    state: Propagation,
    names: Sequence[str],
    seed: int,
    input_shapes: Mapping[str, tuple[int, ...]],
    branch: Branch | None,
) -> tuple[list[Trial], str]:
    """Return runs at the first sizes that succeed, or what went wrong at the last one."""
    trials: list[Trial] = []
    failure = ""
    for fill in (1, 0):
        for symbols in symbol_choices(state, input_shapes):
            feeds = make_feeds(state, symbols, seed + len(trials), fill)
            try:
                tensors = session.run(names, feeds)
                trials.append(Trial(symbols, feeds, branch, tensors, session.pieces))
            except NotLoadedError:  # a later piece; no other size would change that
                raise
            except RefusedError as refusal:
                failure = str(refusal)
            if len(trials) == TRIALS:
                return trials, failure
        if trials:
            break
    return trials, failure


def _cannot_run(original: LoadedModel, state: Propagation, failure: str) -> Exception:
    for entry in state.graph.inputs:
        shape = entry.type.tensor_type.shape.dim
        if any(d.dim_value <= 0 for d in shape):
            axes = [d.dim_value if d.dim_value > 0 else d.dim_param or "?" for d in shape]
            return UnknownShapeError(entry.name, axes, failure)
    return RuntimeRefusedError(original.label, "run", failure)
