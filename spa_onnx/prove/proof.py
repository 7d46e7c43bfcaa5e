"""Compare the pruned model with the masked original, at the outputs and inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Axes, Dim
from spa_onnx.analyse.dims import Analysis
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.errors import (
    GraphError,
    ProofFailedError,
    PrunedModelRefusedError,
)
from spa_onnx.execute.runtime import open_session
from spa_onnx.execute.session import NotLoadedError, RefusedError
from spa_onnx.load.model import LoadedModel
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.prove.compared import Selection, select
from spa_onnx.prove.distance import distance, magnitude
from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.prove.reference import masked_reference
from spa_onnx.prove.trials import Trial, run_original

TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1, "float64": 1e-6}
DEFAULT_TOLERANCE = 1e-4
"""Largest difference relative to a tensor's scale, by element type."""

QUANTISING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
QUANTISED_TOLERANCE = 2e-2
"""A few steps of eight bits: a number beside the border of a step may be rounded either way."""


def prove(
    original: LoadedModel,
    analysis: Analysis,
    kept: Mapping[Dim, Kept],
    pruned: LoadedModel,
    seed: int,
    input_shapes: Mapping[str, tuple[int, ...]],
    memory: int,
) -> Proof:
    """Run original, reference and pruned model on the same inputs and compare them.

    Shapes in ``input_shapes`` are used as given, other dynamic axes at two sizes that run. A model
    whose weights take more than ``memory`` bytes in a session is run in pieces that do not.

    Raises:
        ProofFailedError: a tensor differs by more than the tolerance.
        RuntimeRefusedError: ONNX Runtime refuses the original.
        UnknownShapeError: no sizes tried for dynamic axes run.
    """
    state = analysis.propagation
    selection = select(state, set(_names(pruned)), KeptLanes(state.space, kept))
    task = _Task(original, analysis, kept, pruned, selection, memory)
    trials = run_original(original, state, task.fetched, seed, input_shapes, memory)
    found: dict[str, Difference] = {}
    blamed: dict[str, str] = {}
    unrun = ""
    for trial in trials:
        comparison = _compare(task, trial)
        unrun = unrun or comparison.unrun
        for difference in comparison.differences:
            before = found.get(difference.tensor)
            found[difference.tensor] = difference if before is None else _worse(before, difference)
        for name in state.graph.outputs:
            blame = selection.blame(name, comparison.agreed)
            if blame is not None:
                blamed.setdefault(name, blame)
    outputs = tuple(found[n] for n in state.graph.outputs if n in found)
    inner = tuple(d for n, d in found.items() if n not in state.graph.outputs)
    shapes = tuple({name: np.shape(x) for name, x in t.feeds.items()} for t in trials)
    skipped = {n: blame for n, blame in blamed.items() if n not in found}
    pieces = max(t.pieces for t in trials)
    return Proof(outputs, inner, shapes, skipped, pieces, memory, unrun)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is compared: see :func:`prove`."""

    original: LoadedModel
    analysis: Analysis
    kept: Mapping[Dim, Kept]
    pruned: LoadedModel
    selection: Selection
    memory: int

    @property
    def fetched(self) -> tuple[str, ...]:
        """Return the tensors that runs must return."""
        return tuple(dict.fromkeys((*self.selection.names, *self.selection.results)))


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One trial: differences, choices made alike, and why what lies behind choices did not run."""

    differences: Sequence[Difference]
    agreed: Set[int]
    unrun: str


def _names(model: LoadedModel) -> list[str]:
    return [n for node in model.skeleton.graph.node for n in node.output]


def _worse(a: Difference, b: Difference) -> Difference:
    relative, power = max(a.relative, b.relative), max(a.power, b.power)
    return Difference(a.tensor, relative, power, a.amplified or b.amplified)


def _compare(task: _Task, trial: Trial) -> _Comparison:
    """Run reference and pruned model, one session at a time, and compare tensor by tensor.

    Where the original cannot go on behind its choices with masked activations, neither need the
    pruned model.
    """
    state = task.analysis.propagation
    lanes = KeptLanes(state.space, task.kept, trial.symbols)
    expected, unrun = _run_reference(task, lanes, trial, None)
    actual = _run_pruned(task, trial, list(expected), short=bool(unrun))
    pairs = {name: (expected[name], actual[name]) for name in expected}
    agreed = set[int]() if unrun else task.selection.agreed(state, lanes, pairs)
    names = [n for n in task.selection.names if task.selection.blame(n, agreed) is None]
    before = dict(zip(task.fetched, trial.tensors, strict=True))
    quantised = any(node.op in QUANTISING for node in state.graph.nodes)
    default = QUANTISED_TOLERANCE if quantised else DEFAULT_TOLERANCE
    found: list[Difference] = []
    noise: Mapping[str, float] | None = None
    for name in names:
        want, got = pairs[name]
        whole = _stays(lanes, before[name], state.axes_of(name))
        scale = max(magnitude(want), magnitude(whole))
        relative = distance(got, want, scale)
        tolerance = TOLERANCE.get(want.dtype.name, default)
        amplified = not relative <= tolerance
        if amplified:
            noise = noise or _noise(task, lanes, trial, expected)
            tolerance = max(tolerance, min(WORST_NOISE, NOISE_MARGIN * noise[name]))
        if not relative <= tolerance:
            raise ProofFailedError(name, relative, tolerance, _maker(state, name))
        power = min(OPPOSITE, distance(want, whole, scale))
        found.append(Difference(name, relative, power, amplified))
    return _Comparison(found, agreed, unrun)


OPPOSITE = 2.0
"""Distance of two tensors of opposite signs in units of their scale; no power is above it, also not
that of tensors whose shapes or infinities differ."""

NOISE_MARGIN, WORST_NOISE = 8.0, 0.25
"""A tensor may differ by this many times what rounding alone moves it, and never by more than that.

Networks with activations of huge scale in front of a saturating function amplify rounding.
"""


def _run_pruned(
    task: _Task, trial: Trial, names: Sequence[str], *, short: bool
) -> dict[str, NDArray[Any]]:
    """Return the pruned model's tensors."""
    pruned = task.pruned
    try:
        session = open_session(
            pruned.skeleton, pruned.weights, names, trial.branch, task.memory, short=short
        )
        return dict(zip(names, session.run(names, trial.feeds), strict=True))
    except RefusedError as refusal:
        raise PrunedModelRefusedError(str(refusal)) from refusal


def _run_reference(
    task: _Task, lanes: KeptLanes, trial: Trial, jitter: np.random.Generator | None
) -> tuple[dict[str, NDArray[Any]], str]:
    """Return the reference's tensors, only the lanes that stay, and why some did not run.

    Those that lie behind no choice must run.
    """
    state, names, unrun = task.analysis.propagation, task.fetched, ""
    certain = tuple(n for n in names if n not in task.selection.behind)
    try:
        model = masked_reference(task.analysis, lanes, jitter)
        session = open_session(model, task.original.weights, names, trial.branch, task.memory)
        try:
            tensors = session.run(names, trial.feeds)
        except NotLoadedError:
            raise
        except RefusedError as refusal:
            if not task.selection.choices or not certain:
                raise
            names, unrun = certain, str(refusal)
            del session  # before another one takes memory
            session = open_session(
                model, task.original.weights, names, trial.branch, task.memory, short=True
            )
            tensors = session.run(names, trial.feeds)
        del session
    except RefusedError as refusal:
        raise GraphError("the proof's reference", str(refusal), "Report the model") from refusal
    except UnicodeDecodeError as failure:
        problem = f"holds text that is no UTF-8 ({failure})"
        raise GraphError("the graph", problem, "Repair it") from failure
    return {
        n: _stays(lanes, x, state.axes_of(n)) for n, x in zip(names, tensors, strict=True)
    }, unrun


def _stays(lanes: KeptLanes, x: NDArray[Any], axes: Axes | None) -> NDArray[Any]:
    """Return what stays of a tensor; sequences are outputs, of which everything does."""
    return x if axes is None or not lanes.is_sliced(axes) else np.asarray(lanes.slice(x, axes))


def _noise(
    task: _Task, lanes: KeptLanes, trial: Trial, expected: Mapping[str, NDArray[Any]]
) -> dict[str, float]:
    """Return how far rounding moves every tensor of the reference."""
    moved, _ = _run_reference(task, lanes, trial, np.random.default_rng(0))
    none = float("inf")  # a run that ended early says nothing of what lies behind
    return {
        n: distance(moved[n], b, magnitude(b)) if n in moved else none for n, b in expected.items()
    }


def _maker(state: Propagation, name: str) -> str:
    return next((n.label for n in state.graph.nodes if name in n.outputs), "the graph")
