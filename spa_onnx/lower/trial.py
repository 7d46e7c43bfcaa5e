"""One layer alone, dense and with each packing of its weight: models, runs in turns, profiles.

What a kernel takes is read from the runtime's own profile, so neither the call nor the change of
layouts at the borders counts. Before each run the caches are filled with something else: in a whole
model other layers do that.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from spa_onnx.errors import LoweredRefusedError
from spa_onnx.execute.session import FATAL, run_options
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.operators import lowered_node, standard_nodes
from spa_onnx.lower.packings import Packing
from spa_onnx.lower.rewrite import VERSION, packed_weight
from spa_onnx.lower.view import DOMAIN
from spa_onnx.lower.weights import Floats, regrouped
from spa_onnx.runtime.session import add_operators

OPSET, IR = 17, 8
"""Of the models of one layer."""

ROUNDS, FEWEST, SECONDS = 25, 9, 0.6
"""Runs of each session: so many, or fewer where they take longer in all."""

QUANTILE = 0.1
"""Of the runs, what counts: other programs only ever make a run slower."""

WARM_UP = 2
OTHER_DATA = 8 << 20
"""Bytes that are read and written between runs, more than two cores' second caches hold."""

REORDERS = {"ReorderInput": "into", "ReorderOutput": "back"}
DENSE = "dense"


@dataclass(frozen=True, slots=True)
class Trial:
    """A layer as it is timed.

    Attributes:
        layer: the layer.
        weight: returns it as a matrix; large ones are not kept.
        bias: added to each output, or None.
        x: shape of its input.
        y: shape of its result.
        ways: how its weight may be packed; none for a depthwise one.
    """

    layer: Layer
    weight: Callable[[], Floats]
    bias: Floats | None
    x: tuple[int, ...]
    y: tuple[int, ...]
    ways: tuple[Packing, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """Microseconds that a layer takes, which only a tenth of its runs stay below.

    Attributes:
        dense: in the runtime's own kernels, without changes of layout.
        into: changing its inputs to the runtime's blocked layout; 0 if it has none.
        back: changing its result back.
        ways: with each packing, by its name.
    """

    dense: float
    into: float
    back: float
    ways: Mapping[str, float]

    @property
    def best(self) -> tuple[str, float]:
        """Return the fastest packing and its time."""
        name = min(self.ways, key=lambda way: self.ways[way])
        return name, self.ways[name]


PLAIN = "plain"
"""Name of the one way of a depthwise convolution."""


def measure(trial: Trial, threads: int, library: Path) -> Timing:
    """Return how long a layer takes, dense and in every way.

    Raises:
        LoweredRefusedError: the library does not do what is asked.
    """
    matrix = trial.weight()
    models = {DENSE: dense_model(trial, matrix)}
    packed = {way.stored: packed_weight(matrix, way) for way in trial.ways}
    for way in trial.ways:
        models[str(way)] = sparse_model(trial, packed[way.stored], way.tile)
    if not trial.ways:
        models[PLAIN] = sparse_model(trial, packed_weight(matrix, None))
    del matrix, packed
    with tempfile.TemporaryDirectory(prefix="spa-onnx-") as folder:
        sessions = {}
        for k, (name, model) in enumerate(models.items()):
            sessions[name] = _open(model, threads, library, Path(folder) / f"{k}")
        runs = _run_in_turns(list(sessions.values()), _feeds(trial))
        profiles = {n: Path(s.end_profiling()) for n, s in sessions.items()}
        parts = {name: read_parts(path, runs) for name, path in profiles.items()}
    dense = parts.pop(DENSE)
    ways = {name: sum(part.values()) for name, part in parts.items()}
    return Timing(dense["kernel"], dense["into"], dense["back"], ways)


def sparse_model(trial: Trial, packed: bytes, tile: int = 0) -> onnx.ModelProto:
    """Return the layer as one operator with a packed weight."""
    layer = replace(trial.layer, x="x", y="y", residual="r" if trial.layer.residual else "")
    bias = "b" if trial.bias is not None else ""
    node = lowered_node(layer, "w", bias, name="layer", tile=tile)
    return _model(trial, [node], {"w": np.frombuffer(packed, np.uint8)})


def dense_model(trial: Trial, matrix: Floats) -> onnx.ModelProto:
    """Return the layer in standard operators."""
    layer = replace(trial.layer, x="x", y="y", residual="r" if trial.layer.residual else "")
    group = layer.window.group if layer.window is not None else 1
    weight = matrix.T if layer.window is None else _as_conv(layer, matrix)
    constants = {"w": np.ascontiguousarray(weight)}

    def constant(name: str, array: NDArray[Any]) -> str:
        name = f"{name}{len(constants)}"
        constants[name] = array
        return name

    bias = "b" if trial.bias is not None else ""
    node = lowered_node(layer, "w", bias, name="layer")
    return _model(trial, standard_nodes(node, "w", group, OPSET, constant), constants)


def _as_conv(layer: Layer, matrix: Floats) -> Floats:
    """Return the weight as Conv has it."""
    if layer.window is None:
        raise AssertionError("no convolution")
    rows, group = layer.shape[0], layer.window.group
    weight = matrix.reshape(rows, -1, *layer.window.kernel)
    if layer.kind == "depthwise" or group == 1:
        return weight
    narrow = regrouped(weight, group)
    if narrow is None:
        raise AssertionError("a grouped weight has zeros outside its groups")
    return narrow


def _model(
    trial: Trial, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, NDArray[Any]]
) -> onnx.ModelProto:
    if trial.bias is not None:
        constants = {**constants, "b": trial.bias}
    kind = onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", kind, trial.x)]
    if trial.layer.residual:
        inputs.append(helper.make_tensor_value_info("r", kind, trial.y))
    outputs = [helper.make_tensor_value_info("y", kind, trial.y)]
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(list(nodes), "layer", inputs, outputs, stored)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR)


def _feeds(trial: Trial) -> dict[str, Floats]:
    rng = np.random.default_rng(0)
    feeds = {"x": rng.standard_normal(trial.x, np.float32)}
    if trial.layer.residual:
        feeds["r"] = rng.standard_normal(trial.y, np.float32)
    return feeds


def _open(
    model: onnx.ModelProto, threads: int, library: Path, profile: Path
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_profiling = True
    options.profile_file_prefix = str(profile)
    try:
        add_operators(options, library)
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        raise LoweredRefusedError(str(failure)) from failure


def _run_in_turns(sessions: Sequence[ort.InferenceSession], feeds: Mapping[str, Floats]) -> int:
    """Run sessions in turns; return how often each ran after it was warm.

    The order changes, or turns may keep step with those of the system's scheduler.
    """
    other = np.zeros(OTHER_DATA // 4, np.float32)
    options, given, done = run_options(), dict(feeds), 0

    order = np.random.default_rng(0)

    def run() -> None:
        for k in order.permutation(len(sessions)):
            session = sessions[k]
            np.add(other, 1, out=other)
            try:
                session.run(None, given, options)
            except Exception as failure:  # as above
                raise LoweredRefusedError(str(failure)) from failure

    for _ in range(WARM_UP):
        run()
    start = time.perf_counter()
    while done < ROUNDS and (done < FEWEST or time.perf_counter() - start < SECONDS):
        run()
        done += 1
    return done


def read_parts(profile: Path, runs: int) -> dict[str, float]:
    """Return microseconds of one run: of kernels, and of changes of layout into and back."""
    times: dict[str, list[float]] = {}
    parts: dict[str, str] = {}
    for event in json.loads(profile.read_text(encoding="utf-8")):
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        times.setdefault(name, []).append(float(event["dur"]))
        parts[name] = REORDERS.get(event.get("args", {}).get("op_name", ""), "kernel")
    total: dict[str, float] = {"kernel": 0.0, "into": 0.0, "back": 0.0}
    for name, taken in times.items():
        each = max(1, round(len(taken) / (runs + WARM_UP)))
        total[parts[name]] += each * float(np.quantile(taken[WARM_UP * each :], QUANTILE))
    return total
