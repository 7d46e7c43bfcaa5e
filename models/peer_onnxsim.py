"""Prune a file with onnxsim as its documentation advises, and look at the result independently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from isolated import Figures, Stages, one_line
from numpy.typing import NDArray

import spa_onnx
from spa_onnx.cost.polynomial import costs
from spa_onnx.execute.feeds import make_feeds, symbol_choices
from spa_onnx.prove.trials import TRIALS

Arrays = Sequence[NDArray[Any]]
Feeds = Mapping[str, NDArray[Any]]
FORMATS = {
    "apply_structured_pruning_qdq": {"DequantizeLinear"},
    "apply_structured_pruning_qoperator": {"QLinearConv", "QLinearMatMul", "QGemm"},
    "apply_structured_pruning_matmul_nbits": {"MatMulNBits"},
    "apply_structured_pruning_matmul_bnb4": {"MatMulBnb4"},
    "apply_structured_pruning_dynamic_quantize_matmul": {
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
    },
    "apply_structured_pruning_dynamic_quantize_conv": {"ConvInteger"},
    "apply_moe_expert_channel_pruning": {"MoE"},
    "apply_qmoe_expert_channel_pruning": {"QMoE"},
}
"""Functions of ``onnxsim.pruning`` for weights of special formats, by the operators they read."""


class UnusableOriginalError(ValueError):
    """ONNX Runtime does not run a model even before it is pruned."""


class InvalidResultError(ValueError):
    """A pruned model is not valid, or does not do what the original did."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a model: its inputs and outputs."""

    feeds: Feeds
    outputs: Arrays


def prune_file(path: Path, ratio: float, stages: Stages, simplified: bool = True) -> Figures:
    """Prune one file and return its parameters before and after, counted as we count ours.

    Args:
        path: of the file.
        ratio: of channels to cut.
        stages: told of what is done.
        simplified: whether onnxsim simplifies the model first, as its documentation advises.

    Raises:
        UnusableOriginalError: the file is no model that runs.
        InvalidResultError: the result is not valid.
    """
    with stages("original"):
        original = onnx.load(path)
        open_axes = [open_dims(value) for value in original.graph.output]
        checked = passes_checker(original)
        names = [value.name for value in original.graph.output]
        runs = runs_of(path, original, names)
        before = count_parameters(path)
    pruned = pruned_by_onnxsim(original, ratio, stages, simplified)
    with stages("check"):
        if checked:
            onnx.checker.check_model(pruned)
        session = open_model(pruned.SerializeToString())
        for run in runs:
            compare(run.outputs, answer(session, names, run.feeds), open_axes)
        after = count_parameters(pruned)
    return {"before": before, "after": after}


def pruned_by_onnxsim(
    model: onnx.ModelProto, ratio: float, stages: Stages, simplified: bool
) -> onnx.ModelProto:
    """Return what onnxsim makes of a model: simplified, then heads cut, then channels.

    This is the order of its ``apply_optimization_pipeline``. The functions are those written in
    Python, which its documentation calls the reference: the C++ ones find fewer channels.
    Embedding rows and whole blocks stay: to cut them changes what the model does, not its width.
    """
    import onnxsim
    from onnxsim import pruning

    if simplified:
        with stages("simplify"):
            model, _ = onnxsim.simplify(model)
    kinds = {node.op_type for node in model.graph.node}
    with stages("heads"):
        model = pruning.apply_attention_head_pruning(model, sparsity=ratio)
    with stages("channels"):
        model = pruning.apply_structured_pruning(model, sparsity=ratio)
    with stages("formats"):
        for function, operators in FORMATS.items():
            if kinds & operators:
                model = getattr(pruning, function)(model, sparsity=ratio)
    return model


def open_dims(value: onnx.ValueInfoProto) -> tuple[bool, ...] | None:
    """Return which axes of an output have no fixed length; None where even the rank is open."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    return tuple(not dim.HasField("dim_value") for dim in kind.shape.dim)


def passes_checker(model: onnx.ModelProto) -> bool:
    """Return whether ONNX's checker accepts a model; ONNX Runtime runs some that it does not."""
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError:
        return False
    return True


def open_model(model: Path | bytes) -> ort.InferenceSession:
    """Open a session with ONNX Runtime's defaults, on one thread and without messages."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def answer(session: ort.InferenceSession, names: Sequence[str], feeds: Feeds) -> Arrays:
    """Run a model on those of the inputs that it has."""
    options = ort.RunOptions()
    options.log_severity_level = 4
    wanted = {entry.name for entry in session.get_inputs()}
    kept = {name: array for name, array in feeds.items() if name in wanted}
    return [np.asarray(array) for array in session.run(list(names), kept, options)]


def runs_of(path: Path, model: onnx.ModelProto, names: Sequence[str]) -> list[Run]:
    """Return runs of the original on the proof's inputs, at two sizes where axes are dynamic.

    Raises:
        UnusableOriginalError: it does not run.
    """
    state = spa_onnx.analyze(path).propagation
    session = open_model(path)
    runs: list[Run] = []
    failure = ""
    for fill in (1, 0):
        for symbols in symbol_choices(state, {}):
            feeds = make_feeds(state, symbols, len(runs), fill)
            try:
                runs.append(Run(feeds, answer(session, names, feeds)))
            except Exception as refusal:  # the runtime's exceptions have no common base
                failure = one_line(str(refusal))
            if len(runs) == TRIALS:
                return runs
        if runs:
            return runs
    raise UnusableOriginalError(failure)


def compare(expected: Arrays, got: Arrays, open_axes: Sequence[tuple[bool, ...] | None]) -> None:
    """Hold outputs against those of the original: as many axes, as long, and as finite.

    Axes that the original's file leaves open may be of another length: a detector finds what it
    finds.

    Raises:
        InvalidResultError: they differ.
    """
    for number, (a, b, free) in enumerate(zip(expected, got, open_axes, strict=True)):
        told = free if free is not None and len(free) == a.ndim else (False,) * a.ndim
        if a.ndim != b.ndim or any(
            m != n for is_open, m, n in zip(told, a.shape, b.shape, strict=True) if not is_open
        ):
            raise InvalidResultError(f"output {number} has shape {b.shape} and had {a.shape}")
        if a.dtype.kind == "f" and np.isfinite(a).all() and not np.isfinite(b).all():
            raise InvalidResultError(f"output {number} is not finite any more")


def count_parameters(model: Path | onnx.ModelProto) -> int:
    """Return the parameters of a model as our reports count them."""
    cost = costs(spa_onnx.analyze(model).propagation, [], {})
    return round(cost.parameters.at(np.zeros(0)))
