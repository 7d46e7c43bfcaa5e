"""The way from a model with zeros to a file that runs on them on a GPU.

load ─ convert ─ find ─ inputs ─ measure ─ choose ─ write ─ check ─ time
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from spa_onnx.graph.shapes import tensor_type
from spa_onnx.latency.measure import Stopwatch
from spa_onnx.load.model import LoadedModel
from spa_onnx.lower.begin import load_original, wanted_layers
from spa_onnx.lower.check import Agreement
from spa_onnx.lower.choose import Timed, choose_each
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.cuda.check import HalfCheck
from spa_onnx.lower.cuda.contest import GpuContest
from spa_onnx.lower.cuda.errors import Float32ModelError
from spa_onnx.lower.cuda.place import Place, find_place
from spa_onnx.lower.cuda.precision import to_float16
from spa_onnx.lower.cuda.trial import measure
from spa_onnx.lower.cuda.ways import by_engine, count_tiles, ways_to_pack
from spa_onnx.lower.cuda.widen import widened
from spa_onnx.lower.find import Found, find_layers, is_refused_for_float32
from spa_onnx.lower.finish import Decided, Judge
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.report import LowerReport, ModelTimes
from spa_onnx.lower.sizes import Feeds, Shapes, make_inputs
from spa_onnx.lower.table import Table, cache_folder
from spa_onnx.lower.trial import Trial
from spa_onnx.lower.view import VALUES, View
from spa_onnx.lower.weights import bias, matrix
from spa_onnx.lower.whole import times_of
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.runtime.packed_kinds import HALVES, ValueType
from spa_onnx.stages import Stages


def lower_for_cuda(
    model: Path, output: Path, config: LowerConfig, stages: Stages, watch: Stopwatch
) -> LowerReport:
    """Write a model whose sparse products are done by kernels for GPUs, where that pays.

    Args:
        model: path of an ONNX file.
        output: where to write.
        config: options.
        stages: told of each stage.
        watch: times whole models.

    Raises:
        SpaError: see :mod:`spa_onnx.errors`; nothing is written then.
    """
    original = load_original(model, output, stages)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="spa-onnx-")))
        task = _task(original, folder, config, stages)
        wanted = wanted_layers(original.label, task.found, task.zeros, config.least_zeros)
        place = find_place(config.threads, force=config.force)
        with stages("inputs"):
            runs = normalise(widened(task.loaded))
            feeds = rounded(make_inputs(runs, config), task.view.graph)
            shapes = Shapes.of(task.view, feeds, runs)
        with stages("measure"):
            timed, measured = _timed_layers(task, wanted, shapes, place, config, stages)
        decided = Decided(
            task.loaded,
            task.view,
            task.found,
            task.zeros,
            timed,
            choose_each(timed, force=config.force),
            feeds,
            measured,
            _judge(original, task, runs, feeds, place, config, watch),
            config,
            stages,
            place.name,
            (*task.notes, *place.notes),
        )
        return decided.finish(output)


@dataclass(frozen=True, slots=True)
class _Task:
    """A model of 16 bits and its products.

    Attributes:
        loaded: the model.
        view: of its graph.
        found: its products.
        zeros: of their weights.
        notes: what was done to make it.
    """

    loaded: LoadedModel
    view: View
    found: Found
    zeros: Mapping[Layer, Zeros]
    notes: tuple[str, ...]

    @property
    def values(self) -> ValueType:
        """Return the coarsest type that the model computes in."""
        return max((layer.values for layer in self.found.layers), default=ValueType.FLOAT16)


def _task(original: LoadedModel, folder: Path, config: LowerConfig, stages: Stages) -> _Task:
    """Return what is to be lowered, converted before if that is wanted.

    Raises:
        ConversionError: it cannot be.
        Float32ModelError: it should have been.
    """
    loaded, notes = original, tuple[str, ...]()
    if config.precision is not None:
        with stages("convert"):
            converted = to_float16(original, folder)
        loaded, notes = converted.loaded, ("converted to float16; inputs and outputs stay",)
        if converted.clipped:
            notes += (f"{converted.clipped} numbers too large for float16 became its largest",)
    with stages("find"):
        view = View.of(normalise(loaded))
        found = find_layers(view, "cuda")
        zeros = {layer: count_tiles(matrix(view, layer.source)) for layer in found.layers}
    if not found.layers and any(map(is_refused_for_float32, found.refusals)):
        raise Float32ModelError(original.label)
    return _Task(loaded, view, found, zeros, notes)


def rounded(feeds: Feeds, graph: Graph) -> Feeds:
    """Return inputs of float32 as a model with inputs of 16 bits reads them."""
    kinds = {e.name: VALUES.get(tensor_type(e.type).elem_type) for e in graph.inputs}

    def as_read(name: str) -> object:
        array, kind = feeds[name], kinds.get(name)
        if kind is None or kind not in HALVES or not isinstance(array, np.ndarray):
            return array
        return array.astype(kind.dtype).astype(np.float32)

    return {name: as_read(name) for name in feeds}


def _timed_layers(
    task: _Task,
    layers: Sequence[Layer],
    shapes: Shapes,
    place: Place,
    config: LowerConfig,
    stages: Stages,
) -> tuple[list[Timed], int]:
    """Return layers with their times, unless there is no GPU, and how many were measured."""
    table: Table | None = None
    if place.library is not None and place.device is not None:
        machine = place.machine(place.library, place.device)
        measured = partial(measure, library=place.library, device=place.device)
        folder = config.cache or cache_folder()
        table = Table.opened(machine, folder, measured, fresh=config.fresh)
    shapes.look(name for layer in layers for name in (layer.x, layer.y))
    found = []
    try:
        for k, layer in enumerate(layers):
            stages.part(k, len(layers))
            timed = _timed(task.view, layer, task.zeros[layer], shapes, table)
            found += [timed] if timed is not None else []
    finally:
        if table is not None:
            table.save()
    return found, 0 if table is None else table.measured


def _timed(
    view: View, layer: Layer, zeros: Zeros, shapes: Shapes, table: Table | None
) -> Timed | None:
    x, y = shapes(layer.x), shapes(layer.y)
    if x is None or y is None or not prod(x) * prod(y):
        return None
    tokens = prod(y) // layer.shape[0]
    ways = ways_to_pack(zeros, tokens=tokens, is_linear=layer.kind == "linear")
    trial = Trial(layer, partial(matrix, view, layer.source), bias(view, layer), x, y, tuple(ways))
    timing = None if table is None else table.timing(trial, zeros)
    names = {str(way): way for way in (*ways, *by_engine(ways))}
    return Timed(layer, zeros, timing, names, (x, y), is_wanted=True)


def _judge(
    original: LoadedModel,
    task: _Task,
    runs: Graph,
    feeds: Feeds,
    place: Place,
    config: LowerConfig,
    watch: Stopwatch,
) -> Judge | None:
    """Return what runs models; None where they cannot be run."""
    if place.sessions is None:
        return None
    path, label = task.loaded.path, original.label
    assert path is not None
    exact = runs if task.loaded is original else normalise(original)
    sessions = place.sessions
    check = HalfCheck(label, path, exact, feeds, task.values, sessions, config.memory)
    return _GpuJudge(check, GpuContest(label, path, feeds, sessions, watch))


@dataclass(frozen=True, slots=True)
class _GpuJudge:
    """Runs models on the GPU."""

    check: HalfCheck
    contest: GpuContest

    def agreement(self, lowered: Path) -> Agreement:
        """Return how far a model is from float32."""
        return self.check.agreement(lowered)

    def times(self, lowered: Path, what: str) -> ModelTimes | None:
        """Return what a model with some layers lowered takes; None where the original cannot run.

        That is one of bfloat16 where kernels are emulated.
        """
        if not self.contest.sessions.compute_in(self.check.values):
            return None
        return times_of(self.contest.against(lowered), what)
