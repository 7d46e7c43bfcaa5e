"""Compare the pruned model with the masked original, at the outputs and inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from spa_onnx.graph.shapes import infer
from spa_onnx.load.model import LoadedModel
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.prove.pieces import RANDOM
from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.prove.reference import masked_reference
from spa_onnx.prove.runtime import open_session
from spa_onnx.prove.session import NotLoadedError, RefusedError
from spa_onnx.prove.trials import Trial, run_original

INNER_TENSORS = 24
"""Inner tensors compared beside the outputs; outputs alone can prove nothing."""

TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1, "float64": 1e-6}
DEFAULT_TOLERANCE = 1e-4
"""Largest difference relative to a tensor's scale, by element type."""

QUANTISING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"})
QUANTISED_TOLERANCE = 2e-2
"""A few steps of eight bits: a number beside the border of a step may be rounded either way."""

TIES = frozenset({"TopK", "NonMaxSuppression", "ArgMax", "ArgMin", "Unique", "NonZero", "Hardmax"})
FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}


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
    names, skipped = compared_tensors(state, set(_names(pruned)), KeptLanes(state.space, kept))
    trials = run_original(original, state, names, seed, input_shapes, memory)
    task = _Task(original, analysis, kept, pruned, names, skipped, memory)
    found: dict[str, Difference] = {}
    unrun = ""
    for trial in trials:
        differences, unrun = _compare(task, trial)
        for difference in differences:
            before = found.get(difference.tensor)
            found[difference.tensor] = difference if before is None else _worse(before, difference)
    outputs = tuple(found[n] for n in state.graph.outputs if n in found)
    inner = tuple(d for n, d in found.items() if n not in state.graph.outputs)
    shapes = tuple({name: np.shape(x) for name, x in t.feeds.items()} for t in trials)
    pieces = max(t.pieces for t in trials)
    return Proof(outputs, inner, shapes, skipped, pieces, memory, unrun)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is compared: see :func:`prove`.

    Attributes:
        names: the tensors.
        skipped: outputs behind what breaks ties.
    """

    original: LoadedModel
    analysis: Analysis
    kept: Mapping[Dim, Kept]
    pruned: LoadedModel
    names: Sequence[str]
    skipped: Mapping[str, str]
    memory: int


def _names(model: LoadedModel) -> list[str]:
    return [n for node in model.skeleton.graph.node for n in node.output]


def _worse(a: Difference, b: Difference) -> Difference:
    relative, power = max(a.relative, b.relative), max(a.power, b.power)
    return Difference(a.tensor, relative, power, a.amplified or b.amplified)


def compared_tensors(
    state: Propagation, present: set[str], lanes: KeptLanes
) -> tuple[list[str], dict[str, str]]:
    """Return the tensors to compare, and the outputs that cannot be, with the operator to blame.

    Nothing behind an operator that breaks ties is compared, for ties flip under rounding; what
    enters such an operator is. One that sees nothing of what is cut gives the same in both models.
    """
    affected = _affected(state, lanes)
    types = infer(state.graph.model).types
    comparable = {n for n in present if types.get(n) in FLOATS}
    tainted: dict[str, str] = {}
    entering: list[str] = []
    inner: list[str] = []
    for node, coupling in zip(state.graph.nodes, state.couplings, strict=True):
        blame = next((tainted[n] for n in node.inputs if n in tainted), None)
        seen = affected.intersection((*node.inputs, *node.outputs))
        if blame is None and node.op in TIES | RANDOM and seen:
            blame = node.label
            entering += [n for n in node.inputs[:1] if node.op in TIES]
        for name in filter(None, node.outputs):
            if blame is not None:
                tainted[name] = blame
            elif coupling is not None and name in comparable and not state.is_weight(name):
                inner.append(name)
    step = max(1, -(-len(inner) // INNER_TENSORS))
    spread = inner[::-1][::step]
    graph_outputs = [n for n in state.graph.outputs if n not in tainted]
    chosen = dict.fromkeys([*graph_outputs, *(n for n in entering if n in set(inner)), *spread])
    skipped = {n: tainted[n] for n in state.graph.outputs if n in tainted}
    return list(chosen), skipped


def _affected(state: Propagation, lanes: KeptLanes) -> set[str]:
    """Return the tensors that lose lanes or depend on some that do."""
    found = {name for name in state.axes if lanes.is_sliced(state.axes_of(name))}
    for node in state.graph.nodes:
        if found.intersection(node.inputs) or (node.bodies() and found):
            found.update(node.outputs)
    return found


def _compare(task: _Task, trial: Trial) -> tuple[list[Difference], str]:
    """Run reference and pruned model, one session at a time, and compare tensor by tensor.

    Where the original cannot go on behind the compared tensors with masked activations, neither
    need the pruned model: the second value is what ONNX Runtime says of it.
    """
    state, pruned, names = task.analysis.propagation, task.pruned, task.names
    lanes = KeptLanes(state.space, task.kept, trial.symbols)
    expected, unrun = _run_reference(task, lanes, trial, None)
    try:
        session = open_session(
            pruned.skeleton, pruned.weights, names, trial.branch, task.memory, short=bool(unrun)
        )
        actual = session.run(names, trial.feeds)
        del session
    except RefusedError as refusal:
        raise PrunedModelRefusedError(str(refusal)) from refusal
    quantised = any(node.op in QUANTISING for node in state.graph.nodes)
    default = QUANTISED_TOLERANCE if quantised else DEFAULT_TOLERANCE
    found: list[Difference] = []
    noise: list[float] | None = None
    for k, (name, want, got, before) in enumerate(
        zip(names, expected, actual, trial.tensors, strict=True)
    ):
        axes = state.axes_of(name)
        whole = _stays(lanes, before, axes)
        scale = max(magnitude(want), magnitude(whole))
        relative = distance(got, want, scale)
        tolerance = TOLERANCE.get(want.dtype.name, default)
        amplified = not relative <= tolerance
        if amplified:
            if noise is None:
                noise = _noise(task, lanes, trial, expected)
            tolerance = max(tolerance, min(WORST_NOISE, NOISE_MARGIN * noise[k]))
        if not relative <= tolerance:
            raise ProofFailedError(name, relative, tolerance, _maker(state, name))
        found.append(Difference(name, relative, distance(want, whole, scale), amplified))
    return found, unrun


NOISE_MARGIN, WORST_NOISE = 8.0, 0.25
"""A tensor may differ by this many times what rounding alone moves it, and never by more than that.

Networks with activations of huge scale in front of a saturating function amplify rounding.
"""


def _run_reference(
    task: _Task, lanes: KeptLanes, trial: Trial, jitter: np.random.Generator | None
) -> tuple[list[NDArray[Any]], str]:
    """Return the reference's tensors, only the lanes that stay, and why nothing else ran."""
    state, names = task.analysis.propagation, task.names
    unrun = ""
    try:
        model = masked_reference(task.analysis, lanes, jitter)
        session = open_session(model, task.original.weights, names, trial.branch, task.memory)
        try:
            tensors = session.run(names, trial.feeds)
        except NotLoadedError:
            raise
        except RefusedError as refusal:
            if not task.skipped:
                raise
            unrun = str(refusal)
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
    axes = [state.axes_of(name) for name in names]
    return [_stays(lanes, x, a) for x, a in zip(tensors, axes, strict=True)], unrun


def _stays(lanes: KeptLanes, x: NDArray[Any], axes: Axes | None) -> NDArray[Any]:
    """Return what stays of a tensor; sequences are outputs, of which everything does."""
    return x if axes is None or not lanes.is_sliced(axes) else np.asarray(lanes.slice(x, axes))


def _noise(
    task: _Task, lanes: KeptLanes, trial: Trial, expected: Sequence[NDArray[Any]]
) -> list[float]:
    """Return how far rounding moves every tensor of the reference."""
    moved, _ = _run_reference(task, lanes, trial, np.random.default_rng(0))
    return [distance(a, b, magnitude(b)) for a, b in zip(moved, expected, strict=True)]


def _maker(state: Propagation, name: str) -> str:
    return next((n.label for n in state.graph.nodes if name in n.outputs), "the graph")


NUMBERS = "biuf"
"""Kinds of numpy types that are compared as numbers; strings are equal or not."""


def magnitude(x: NDArray[Any]) -> float:
    """Return the largest finite absolute value of a tensor."""
    if not _is_number(x):
        return 1.0
    wide = _wide(x)
    top = float(np.abs(wide).max(initial=0))
    if np.isfinite(top):  # a maximum is NaN or infinite as soon as one value is
        return top
    return float(np.abs(wide[np.isfinite(wide)]).max(initial=0))


def distance(a: NDArray[Any], b: NDArray[Any], scale: float) -> float:
    """Return ``max |a - b| / scale``; infinite for other shapes, and where only one is finite.

    The scale is that of the tensor in the reference or the original, whichever is larger: a
    normalisation over a single lane that stays leaves nothing but rounding.
    """
    if a.shape != b.shape:
        return float("inf")
    if not _is_number(b):
        return 0.0 if np.array_equal(a, b) else float("inf")
    gap = _gap(_wide(a), _wide(b))
    return gap / scale if scale > 0 else (0.0 if gap == 0 else float("inf"))


def _is_number(x: NDArray[Any]) -> bool:
    return x.dtype.kind in NUMBERS or x.dtype.name == "bfloat16"


def _wide(x: NDArray[Any]) -> NDArray[Any]:
    """Return the tensor in a type whose differences are as exact as its values."""
    return x if x.dtype == np.float32 else x.astype(np.float64, copy=False)


def _gap(x: NDArray[Any], y: NDArray[Any]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        gap = float(np.abs(x - y).max(initial=0))
    if np.isfinite(gap):  # so all values are
        return gap
    finite = np.isfinite(y)
    if (
        not np.array_equal(x[~finite], y[~finite], equal_nan=True)
        or not np.isfinite(x[finite]).all()
    ):
        return float("inf")
    near = x[finite].astype(np.float64) - y[finite]
    return float(np.abs(near).max(initial=0))
