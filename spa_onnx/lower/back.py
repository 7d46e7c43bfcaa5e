"""From a lowered file back to one of standard operators."""

from __future__ import annotations

from pathlib import Path

from spa_onnx.checks import check_output, check_weights
from spa_onnx.errors import NotLoweredError
from spa_onnx.load.model import load
from spa_onnx.lower.check import Agreement, check_lowered
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.cuda.check import HalfCheck
from spa_onnx.lower.cuda.errors import NoGpuError, NoProviderError
from spa_onnx.lower.cuda.place import find_place
from spa_onnx.lower.cuda.run import rounded
from spa_onnx.lower.cuda.widen import widened
from spa_onnx.lower.report import UndoReport
from spa_onnx.lower.sizes import make_inputs
from spa_onnx.lower.summary import weight_bytes
from spa_onnx.lower.undo import is_lowered, lowered_nodes, raise_layers, target_of, values_of
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.rewrite.writer import pending_file
from spa_onnx.runtime.library import KernelsMissingError, library_path
from spa_onnx.stages import Observer, Stages


def undo(
    model: str | Path,
    output: str | Path,
    config: LowerConfig | None = None,
    observer: Observer | None = None,
) -> UndoReport:
    """Write a model with standard operators and exactly the weights of a lowered one.

    Raises:
        NotLoweredError: the model is not lowered.
        GraphError: a packed weight is broken.
        LoweredDiffersError: the result computes something else.
    """
    config = config or LowerConfig()
    stages = Stages(observer)
    check_output(model, output)
    with stages("load"):
        loaded = load(Path(model))
    check_weights(loaded, output)
    if not is_lowered(loaded.skeleton):
        raise NotLoweredError(loaded.label)
    with stages("undo"):
        graph = normalise(loaded)
        rewritten = raise_layers(graph)
    most = config.most_inside if config.external_data else None
    with (
        stages("write"),
        pending_file(rewritten, loaded, Path(output), *([most] if most else [])) as file,
    ):
        with stages("check"):
            agreement, note = _compared(Path(model), file.path, graph, config)
        file.commit()
    sizes = weight_bytes(loaded.skeleton), weight_bytes(rewritten.model)
    difference = agreement.difference if agreement is not None else None
    return UndoReport(len(lowered_nodes(graph)), sizes, difference, note)


def _compared(
    lowered: Path, standard: Path, graph: Graph, config: LowerConfig
) -> tuple[Agreement | None, str]:
    """Return how the standard model agrees with the lowered one, or why that is not known."""
    try:
        if target_of(graph) == "cuda":
            return _compared_on_gpu(lowered, standard, graph, config), ""
        library = library_path()
    except KernelsMissingError as missing:
        return None, f"not compared: {missing}"
    except (NoGpuError, NoProviderError) as missing:
        return None, f"not compared: {missing.problem}"
    feeds = make_inputs(normalise(load(standard)), config)
    return check_lowered(standard, lowered, feeds, config.threads, library), ""


def _compared_on_gpu(lowered: Path, standard: Path, graph: Graph, config: LowerConfig) -> Agreement:
    """Return how both models, which compute in 16 bits, agree with float32."""
    sessions = find_place(config.threads, force=False).sessions
    assert sessions is not None
    made = load(standard)
    runs = normalise(widened(made))
    feeds = rounded(make_inputs(runs, config), normalise(made))
    values = max(values_of(graph, node) for node in lowered_nodes(graph))
    label = str(standard)
    check = HalfCheck(label, standard, runs, feeds, values, sessions, config.memory)
    return check.agreement(lowered)
