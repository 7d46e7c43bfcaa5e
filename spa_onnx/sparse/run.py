"""Sparsify: load, analyse, calibrate, allocate, mask and repair, write, report."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from spa_onnx.algebra.expression import Dim
from spa_onnx.analyse.dims import Analysis, analyse
from spa_onnx.calibrate.distance import output_distance
from spa_onnx.calibrate.engine import CalibrationEngine, make_engine
from spa_onnx.checks import check_input_shapes, check_output, check_weights
from spa_onnx.compensate.model import COMPARED, outside, tidy
from spa_onnx.errors import ProofFailedError, UsageError
from spa_onnx.execute.runtime import open_session
from spa_onnx.layers.layer import Layer
from spa_onnx.layers.moments import Moments
from spa_onnx.layers.variants import LayerEditor
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.load.store import WeightStore
from spa_onnx.normalise.graph import Graph, normalise
from spa_onnx.plan.lanes import Kept, KeptLanes
from spa_onnx.prove.proof import prove
from spa_onnx.report.report import library_versions
from spa_onnx.rewrite.apply import Rewritten, rewrite
from spa_onnx.rewrite.writer import pending_file, to_bytes
from spa_onnx.sparse.choose import Chosen, FloatArray, choose, try_layers
from spa_onnx.sparse.config import AUTO, SparsifyConfig
from spa_onnx.sparse.fit import Fitted
from spa_onnx.sparse.gpu_speed import open_table
from spa_onnx.sparse.gpu_speed_table import GpuSpeedTable
from spa_onnx.sparse.layers import LeftDense, sparse_layers, weights_of
from spa_onnx.sparse.passes import SparsePasses
from spa_onnx.sparse.rearrange import rearranged
from spa_onnx.sparse.repair import SparseRepair, mask_plainly
from spa_onnx.sparse.report import SparseLayerReport, SparsifyReport
from spa_onnx.sparse.result import SparsifyResult
from spa_onnx.stages import Observer, Stages


def sparsify(
    model: str | Path | onnx.ModelProto,
    config: SparsifyConfig | None = None,
    *,
    output: str | Path | None = None,
    observer: Observer | None = None,
) -> SparsifyResult:
    """Return the same graph with zeros in its weights, and the weights that stay repaired.

    Args:
        model: path of an ONNX file, or a ModelProto, which is not changed.
        config: how sparse, in which pattern and by which passes.
        output: where to write; without it the result stays in memory.
        observer: told of each stage.

    Raises:
        SpaError: see :mod:`spa_onnx.errors`; nothing is written then.
    """
    config = config or SparsifyConfig()
    stages = Stages(observer)
    check_output(model, output)
    passes = SparsePasses.of(config)
    with ExitStack() as stack:
        # before any work: without a GPU that would be lost
        speeds = stack.enter_context(open_table()) if config.measures_speed else None
        with stages("load"):
            loaded = load(model)
        check_weights(loaded, output)
        ordered, moved = stack.enter_context(_rearranged(loaded, config, passes, stages))
        rewritten, report = _Run(ordered, config, passes, stages, speeds).make()
        notes = (*report.notes, UNORDERED) if moved < 0 else report.notes
        report = replace(report, model=loaded.label, rearranged=max(0, moved), notes=notes)
        with stages("write"):
            if output is None:
                data = to_bytes(rewritten, ordered)
                return SparsifyResult(replace(report, seconds=dict(stages.seconds)), None, data)
            with pending_file(rewritten, ordered, Path(output)) as file:
                file.commit()
    return SparsifyResult(replace(report, seconds=dict(stages.seconds)), Path(output))


UNORDERED = (
    "channels stay in their order: in another one the model's outputs differ by more than rounding "
    "explains"
)


@contextmanager
def _rearranged(
    loaded: LoadedModel, config: SparsifyConfig, passes: SparsePasses, stages: Stages
) -> Generator[tuple[LoadedModel, int]]:
    """Yield the model with channels in the order that suits the pattern, and how many dims moved.

    Where the result does not equal the original as far as rounding can tell, as some networks in
    half precision, channels stay as they are, and -1 is told.
    """
    if not config.rearrange or config.pattern == AUTO:
        yield loaded, 0
        return
    analysis, kept = _Run(loaded, config, passes, stages).orders()
    with tempfile.TemporaryDirectory(prefix="spa-onnx-") as folder:
        with stages("rearrange"):
            ordered = _ordered(loaded, analysis, kept, config, Path(folder, "rearranged.onnx"))
        yield (loaded, -1) if ordered is None else (ordered, len(kept))


def _ordered(
    loaded: LoadedModel,
    analysis: Analysis,
    kept: Mapping[Dim, Kept],
    config: SparsifyConfig,
    path: Path,
) -> LoadedModel | None:
    """Return the model with its channels in another order, written to a path.

    None if it does not equal the original.
    """
    with pending_file(rewrite(analysis, kept), loaded, path) as file:
        file.commit()
    ordered = load(path)
    memory, shapes = config.proof_memory, config.input_shapes
    try:
        prove(loaded, analysis, kept, ordered, config.seed, shapes, memory)
    except ProofFailedError:
        return None
    return ordered


@dataclass(frozen=True, slots=True)
class _Run:
    """One run over a loaded model."""

    loaded: LoadedModel
    config: SparsifyConfig
    passes: SparsePasses
    stages: Stages
    speeds: GpuSpeedTable | None = None

    def make(self) -> tuple[Rewritten, SparsifyReport]:
        """Return the sparse model and the report."""
        with self.stages("analyse"):
            analysis = self._analyse()
            state = analysis.propagation
            layers, dense = sparse_layers(state, self.config.patterns, self.config.exclude)
            if not layers:
                raise UsageError(_nothing(dense))
        engine = self._engine(analysis)
        with self.stages("allocate"):
            tell = self.stages.part
            chosen = choose(state, layers, self.config, self.passes, engine, tell, self.speeds)
            left = [
                LeftDense(layers[n].node.label, weights_of(layers[n]), why)
                for n, why in chosen.dense.items()
            ]
            if not chosen.maskings:
                raise UsageError(_nothing(left))
        graph = normalise(self.loaded)
        with self.stages("mask"):
            made, coarse = self._mask(graph, layers, chosen, engine)
        tidy(graph)
        report = self._report(layers, chosen, made, [*dense, *left], coarse)
        if engine is not None:
            with self.stages("compare"):
                report = replace(
                    report,
                    distance=_distance(self.loaded, state.graph.model, graph, engine),
                    samples=engine.batches.samples,
                    origin=engine.batches.origin,
                    notes=(*engine.all_notes, *report.notes),
                )
        return Rewritten(graph.model, outside(graph.model), ()), report

    def orders(self) -> tuple[Analysis, dict[Dim, Kept]]:
        """Return the orders of lanes in which blocks line up."""
        with self.stages("analyse"):
            analysis = self._analyse()
            state = analysis.propagation
            layers, _ = sparse_layers(state, self.config.patterns, self.config.exclude)
        engine = self._engine(analysis)
        with self.stages("rearrange"):
            tried = try_layers(state, layers, self.config, self.passes, engine)
            pattern, share = self.config.patterns[0], self.config.share

            def worth(name: str) -> FloatArray:
                return tried.layer(name).worth

            return analysis, rearranged(analysis, layers, pattern, share, worth, self.config.seed)

    def _engine(self, analysis: Analysis) -> CalibrationEngine | None:
        if not self.passes.run_the_model(self.config):
            return None
        with self.stages("calibrate"):
            options = self.config.engine_options()
            return make_engine(self.loaded, analysis, options, self.stages.part)

    def _analyse(self) -> Analysis:
        graph = normalise(self.loaded)
        check_input_shapes(graph, self.config.input_shapes)
        return analyse(graph, self.config.input_shapes)

    def _mask(
        self,
        graph: Graph,
        layers: Mapping[str, Layer],
        chosen: Chosen,
        engine: CalibrationEngine | None,
    ) -> tuple[dict[str, Fitted], tuple[str, ...]]:
        """Put masks on a graph; return what became of layers, and which were too large."""
        taken = {name: layers[name] for name in chosen.maskings}
        if engine is not None and self.config.repair:
            repair = SparseRepair(
                engine.model,
                engine.batches,
                self.config.seed,
                self.config.statistics_memory,
                self.config.proof_memory,
                self.stages.part,
            )
            lanes = KeptLanes(engine.analysis.propagation.space, {})

            def matched(part: onnx.ModelProto) -> onnx.ModelProto:
                return engine.statistics.put_pruned(part, engine.analysis.propagation, lanes)

            return repair.run(graph, chosen.maskings, matched), tuple(repair.coarse)
        editor = LayerEditor(graph.model, graph.weights)
        handles = editor.handles(taken.values(), insert=False)
        coarse = tuple(chosen.moments.coarse) if chosen.moments else ()

        def moments(layer: Layer) -> Moments | None:
            return chosen.moments.seen([layer])[0] if chosen.moments else None

        return mask_plainly(editor, taken, handles, chosen.maskings, moments), coarse

    def _report(
        self,
        layers: Mapping[str, Layer],
        chosen: Chosen,
        made: Mapping[str, Fitted],
        dense: list[LeftDense],
        coarse: tuple[str, ...],
    ) -> SparsifyReport:
        entries = tuple(
            SparseLayerReport(
                layers[name].node.label,
                layers[name].weight.name,
                str(masking.pattern),
                weights_of(layers[name]),
                int(weights_of(layers[name]) - np.count_nonzero(made[name].weight)),
                made[name].damage,
            )
            for name, masking in chosen.maskings.items()
        )
        settings = self.config.settings() | self.passes.names(self.config)
        return SparsifyReport(
            self.loaded.label,
            entries,
            tuple(dense),
            None,
            0,
            "",
            coarse,
            0,
            {},
            settings,
            library_versions(),
            chosen.notes,
        )


def _nothing(dense: list[LeftDense]) -> str:
    if not dense:
        return "the model holds no weight matrices that could become sparse"
    reasons = dict.fromkeys(f"{left.node}: {left.reason}" for left in dense[:3])
    return f"no layer can become sparse: {'; '.join(reasons)}"


def _distance(
    loaded: LoadedModel, dense: onnx.ModelProto, graph: Graph, engine: CalibrationEngine
) -> float:
    """Return the squared change of the outputs in shares of their variance."""
    few = engine.batches.first(COMPARED)
    memory = engine.config.proof_memory

    def outputs(model: onnx.ModelProto, weights: WeightStore) -> list[list[np.ndarray]]:
        session = open_session(model, weights, graph.outputs, memory=memory)
        return [session.run(graph.outputs, feeds) for feeds in few]

    return output_distance(outputs(dense, loaded.weights), outputs(graph.model, graph.weights))
