from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ml_dtypes import bfloat16

from spa_onnx.errors import LoweredDiffersError, NothingToLowerError, UsageError
from spa_onnx.latency.measure import Comparison, Stopwatch
from spa_onnx.lower.back import undo
from spa_onnx.lower.config import LowerConfig
from spa_onnx.lower.cuda import run as stage
from spa_onnx.lower.cuda.contest import GpuContest
from spa_onnx.lower.cuda.errors import Float32ModelError, NoGpuError, NoProviderError, RangeError
from spa_onnx.lower.cuda.sessions import Sessions
from spa_onnx.lower.report import LowerReport
from spa_onnx.lower.run import lower
from spa_onnx.lower.trial import Timing, Trial
from spa_onnx.runtime.library import CUDA_VARIABLE, CudaKernelsMissingError
from spa_onnx.runtime.packed_header import read_header
from spa_onnx.runtime.packed_kinds import Kind, ValueType
from spa_onnx.runtime.session import session
from tests.builders import GraphBuilder
from tests.runtime_kernels.cuda_library import needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.lower.models import MODELS, built, conv, feeds_of, linear, picture

WATCH = Stopwatch(least=1, most=1, seconds=0.01, warm_up=0)

KINDS = {"float16": (np.float16, 17), "bfloat16": (bfloat16, 22)}
LOWERED = ["1x1", "1x1 with stride", "two branches", "perceptron", "gemm", "shared weight"]


@pytest.fixture
def config(tmp_path: Path) -> LowerConfig:
    return LowerConfig(cache=tmp_path / "cache", target="cuda")


@pytest.fixture
def forced(config: LowerConfig) -> LowerConfig:
    return replace(config, force=True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let there be a library of kernels, but none for CUDA beside it."""
    monkeypatch.delenv(CUDA_VARIABLE, raising=False)
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "libspa_onnx_kernels.so"))


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Pretend that packed layers take a share of what dense ones do, and whole models too."""
    shares = {"layer": 0.5, "model": 0.5}

    def measure(trial: Trial, **_: Any) -> Timing:
        first, *others = map(str, trial.ways)
        ways = {first: 10 * shares["layer"], **dict.fromkeys(others, 20 * shares["layer"])}
        return Timing(10.0, 0.0, 0.0, ways)

    def compare(*_: Any) -> Comparison:
        return Comparison(np.ones(4), np.full(4, shares["model"]))

    monkeypatch.setattr(stage, "measure", measure)
    monkeypatch.setattr(GpuContest, "against", compare)
    return shares


def written(folder: Path, name: str = "perceptron", kind: str = "float32") -> Path:
    dtype, opset = KINDS.get(kind, (np.float32, 17))
    path = folder / "model.onnx"
    path.write_bytes(built(MODELS[name], opset, dtype).SerializeToString())
    return path


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(str(path)).graph.node}


# -- without a GPU --------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_nothing_is_lowered_unless_forced(
    tmp_path: Path, config: LowerConfig
) -> None:
    path, target = written(tmp_path, kind="float16"), tmp_path / "lowered.onnx"
    with pytest.raises(
        NoGpuError, match=r"no layer can be measured: .* NVIDIA GPU, or add --force"
    ):
        lower(path, target, config, watch=WATCH)
    assert not target.exists()


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_forced_without_a_gpu_the_smallest_way_is_taken_and_said_so(
    tmp_path: Path, forced: LowerConfig, kind: str
) -> None:
    path, target = written(tmp_path, kind=kind), tmp_path / "lowered.onnx"
    report = lower(path, target, forced, watch=WATCH)
    assert {layer.packing for layer in report.layers} == {"bitmask"}
    assert {layer.dense for layer in report.layers} == {None}
    assert (report.difference, report.tolerance, report.times) == (None, None, ())
    assert (report.target, report.device, report.measured) == ("cuda", "", 0)
    assert "nothing was measured" in report.notes[0]
    assert "neither run nor compared" in report.notes[1]
    assert operators(target) == {"SparseLinear"}
    packed = [
        onnx.numpy_helper.to_array(t) for t in onnx.load(str(target)).graph.initializer
        if t.data_type == onnx.TensorProto.UINT8
    ]  # fmt: skip
    assert {read_header(p.tobytes()).value_type for p in packed} == {ValueType.of(KINDS[kind][0])}
    assert not (tmp_path / "cache").exists()


@pytest.mark.usefixtures("no_gpu")
def test_a_model_is_converted_on_the_way(tmp_path: Path, forced: LowerConfig) -> None:
    path, target = written(tmp_path), tmp_path / "lowered.onnx"
    with pytest.raises(Float32ModelError, match=r"its weights are float32.* --precision float16"):
        lower(path, target, forced, watch=WATCH)
    report = lower(path, target, replace(forced, precision="float16"), watch=WATCH)
    assert len(report.lowered) == 2
    assert report.notes[0] == "converted to float16; inputs and outputs stay"
    made = onnx.load(str(target))
    assert [v.type.tensor_type.elem_type for v in made.graph.input] == [onnx.TensorProto.FLOAT]
    assert operators(target) == {"Cast", "SparseLinear"}


@pytest.mark.usefixtures("no_gpu")
def test_what_was_lowered_without_a_gpu_can_be_undone(tmp_path: Path, forced: LowerConfig) -> None:
    path, target = written(tmp_path, kind="float16"), tmp_path / "lowered.onnx"
    lower(path, target, forced, watch=WATCH)
    report = undo(target, tmp_path / "back.onnx")
    assert report.difference is None
    assert report.note.startswith("not compared: ")
    assert "or add --force" not in report.note
    assert "SparseLinear" not in operators(tmp_path / "back.onnx")


def test_a_wrong_name_in_the_environment_is_told_even_if_forced(
    tmp_path: Path, forced: LowerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CUDA_VARIABLE, str(tmp_path / "gone.so"))
    path = written(tmp_path, kind="float16")
    with pytest.raises(CudaKernelsMissingError, match=rf"gone\.so.*{CUDA_VARIABLE} names it"):
        lower(path, tmp_path / "lowered.onnx", forced, watch=WATCH)


def test_precision_is_an_option_for_cuda() -> None:
    with pytest.raises(UsageError, match="--precision float16 goes with --target cuda"):
        LowerConfig(precision="float16")


def test_models_without_products_for_cuda_are_refused(tmp_path: Path, config: LowerConfig) -> None:
    path = written(tmp_path, "3x3 padded", "float16")
    with pytest.raises(NothingToLowerError, match="do convolutions of 1 x 1 only"):
        lower(path, tmp_path / "lowered.onnx", config, watch=WATCH)


# -- with an emulated one -------------------------------------------------------------------------


@needs_kernels
@needs_emulator
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", LOWERED)
def test_lowered_models_agree_and_so_do_those_that_are_undone(
    tmp_path: Path, forced: LowerConfig, times: dict[str, float], name: str, kind: str
) -> None:
    path, target = written(tmp_path, name, kind), tmp_path / "lowered.onnx"
    report = lower(path, target, forced, watch=WATCH)
    assert len(report.lowered) == len(report.layers)
    assert report.difference is not None
    assert report.tolerance is not None
    unit = 2.0**-11 if kind == "float16" else 2.0**-8
    assert report.difference <= 4 * unit
    assert report.device == "emulated"
    assert operators(target) <= {"SparseLinear", "SparseConv"}
    undone = undo(target, tmp_path / "back.onnx")
    assert undone.difference is not None
    assert undone.difference <= 4 * unit


@needs_kernels
@needs_emulator
def test_layers_and_models_that_do_not_pay_stay_dense(
    tmp_path: Path, config: LowerConfig, times: dict[str, float]
) -> None:
    path, target = written(tmp_path, kind="float16"), tmp_path / "lowered.onnx"
    assert len(lower(path, target, config, watch=WATCH).lowered) == 2
    times["model"] = 1.1
    report = lower(path, target, config, watch=WATCH)
    assert "the whole model is not faster" in report.notes[-1]
    assert onnx.load(str(target)) == onnx.load(str(path))
    times["layer"] = 0.98
    report = lower(path, target, replace(config, fresh=True), watch=WATCH)
    assert {layer.reason for layer in report.layers} == {"not faster packed"}
    assert onnx.load(str(target)) == onnx.load(str(path))


@needs_kernels
@needs_emulator
def test_linear_layers_alone_are_tried_and_convolutions_alone(
    tmp_path: Path, config: LowerConfig, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    g = GraphBuilder(dtype=np.float16)
    x = g.node("Flatten", [conv(g, g.input("x", (2, 16, 3, 3)), 16)])
    path, target = tmp_path / "model.onnx", tmp_path / "lowered.onnx"
    path.write_bytes(g.model(linear(g, x, 8)).SerializeToString())

    def compare(_: GpuContest, lowered: Path) -> Comparison:
        slower = "SparseLinear" in operators(lowered)
        return Comparison(np.ones(4), np.full(4, 1.1 if slower else 0.9))

    monkeypatch.setattr(GpuContest, "against", compare)
    report = lower(path, target, config, watch=WATCH)
    assert [times.what for times in report.times] == [
        "2 layers", "1 linear layers", "1 convolutions",
    ]  # fmt: skip
    assert operators(target) == {"SparseConv", "Flatten", "MatMul"}


@needs_kernels
@needs_emulator
def test_the_table_keeps_times(
    tmp_path: Path, forced: LowerConfig, times: dict[str, float]
) -> None:
    path, target = written(tmp_path, kind="float16"), tmp_path / "lowered.onnx"
    counts = [lower(path, target, forced, watch=WATCH).measured for _ in range(2)]
    counts.append(lower(path, target, replace(forced, fresh=True), watch=WATCH).measured)
    assert counts == [2, 0, 2]
    (table,) = (tmp_path / "cache").iterdir()
    assert '"emulated, 4 multiprocessors"' in table.read_text()


@needs_kernels
@needs_emulator
def test_emulated_layers_are_really_run(tmp_path: Path, forced: LowerConfig) -> None:
    path = written(tmp_path, kind="float16")
    report = lower(path, tmp_path / "lowered.onnx", forced, watch=WATCH)
    assert all(layer.dense and layer.packed for layer in report.layers)
    assert report.times[-1].lowered > 0


@needs_kernels
@needs_emulator
def test_a_converted_model_is_compared_with_the_original(
    tmp_path: Path, forced: LowerConfig, times: dict[str, float]
) -> None:
    path, target = written(tmp_path), tmp_path / "lowered.onnx"
    report = lower(path, target, replace(forced, precision="float16"), watch=WATCH)
    assert report.difference is not None
    assert 0 < report.difference < 4 * 2.0**-11
    feeds = feeds_of(onnx.load(str(path)))
    opened: list[Any] = [session(target), session(path)]
    (found,), (expected,) = (s.run(None, feeds) for s in opened)
    np.testing.assert_allclose(found, expected, rtol=0, atol=4 * 2.0**-11 * np.abs(expected).max())


@needs_kernels
@needs_emulator
@pytest.mark.parametrize("kind", KINDS)
def test_a_result_that_differs_is_not_written(
    tmp_path: Path, forced: LowerConfig, times: dict[str, float], kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from spa_onnx.lower import rewrite

    honest = rewrite.matrix
    monkeypatch.setattr(rewrite, "matrix", lambda *a: honest(*a) * np.float32(1.25))
    path = written(tmp_path, "gemm", kind)
    with pytest.raises(LoweredDiffersError, match="differs from the original: output"):
        lower(path, tmp_path / "lowered.onnx", forced, watch=WATCH)
    assert not (tmp_path / "lowered.onnx").exists()


@needs_kernels
@needs_emulator
def test_a_model_that_overflows_by_itself_is_told(
    tmp_path: Path, forced: LowerConfig, times: dict[str, float]
) -> None:
    g = GraphBuilder(dtype=np.float16)
    y = linear(g, g.mul(g.input("x", (4, 16)), g.constant(6e4)), 16)
    path = tmp_path / "model.onnx"
    path.write_bytes(g.model(y).SerializeToString())
    with pytest.raises(
        RangeError, match=r"as float16 the dense model itself makes output .* infin"
    ):
        lower(path, tmp_path / "lowered.onnx", forced, watch=WATCH)


@needs_kernels
@needs_emulator
def test_without_the_provider_only_layers_are_measured(
    tmp_path: Path, config: LowerConfig, times: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> Sessions:
        raise NoProviderError("ONNX Runtime 1.0 has no CUDA provider")

    monkeypatch.setattr(Sessions, "found", none)
    path, target = written(tmp_path, kind="float16"), tmp_path / "lowered.onnx"
    with pytest.raises(NoProviderError, match="has no CUDA provider, so no model can be run"):
        lower(path, target, config, watch=WATCH)
    report: LowerReport = lower(path, target, replace(config, force=True), watch=WATCH)
    assert report.measured == 2
    assert (report.difference, report.times) == (None, ())
    assert report.notes == (
        "the result was neither run nor compared with the original (ONNX Runtime has no CUDA "
        "provider)",
    )


@needs_kernels
@needs_emulator
def test_what_is_measured_fastest_is_packed(
    tmp_path: Path, config: LowerConfig, monkeypatch: pytest.MonkeyPatch, times: dict[str, float]
) -> None:
    def measure(trial: Trial, **_: Any) -> Timing:
        return Timing(10.0, 0.0, 0.0, {str(way): 9.0 - k for k, way in enumerate(trial.ways)})

    monkeypatch.setattr(stage, "measure", measure)

    def make(g: GraphBuilder) -> str:
        x = picture(g, 64, 8)
        kept = np.kron(np.eye(4), np.ones((16, 16)))
        weight = np.asarray(g.weight_values(64, 64) * kept, np.float16).reshape(64, 64, 1, 1)
        return g.node("Conv", [x, g.constant(weight)])

    path, target = tmp_path / "model.onnx", tmp_path / "lowered.onnx"
    path.write_bytes(built(make, dtype=np.float16).SerializeToString())
    report = lower(path, target, config, watch=WATCH)
    (layer,) = report.layers
    assert layer.packing.startswith("tiles ")
    assert layer.packed is not None
    (packed,) = (
        onnx.numpy_helper.to_array(t) for t in onnx.load(str(target)).graph.initializer
    )  # fmt: skip
    header = read_header(packed.tobytes())
    assert header.kind == Kind.TILES
    assert layer.packing == f"tiles {header.block_rows}x{header.block_columns}"


@needs_kernels
@needs_emulator
@pytest.mark.parametrize("engine", ["", "cusparselt"])
def test_the_faster_library_is_named_in_the_node(
    tmp_path: Path,
    config: LowerConfig,
    monkeypatch: pytest.MonkeyPatch,
    times: dict[str, float],
    engine: str,
) -> None:
    def measure(trial: Trial, **_: Any) -> Timing:
        ways = {"2:4": 5.0, "2:4 by cusparselt": 4.0 if engine else 6.0}
        return Timing(10.0, 0.0, 0.0, ways)

    monkeypatch.setattr(stage, "measure", measure)
    path, target = written(tmp_path, "1x1", "float16"), tmp_path / "lowered.onnx"
    report = lower(path, target, config, watch=WATCH)
    assert report.layers[0].packing == ("2:4 by cusparselt" if engine else "2:4")
    (node,) = onnx.load(str(target)).graph.node
    given = {a.name: a.s.decode() for a in node.attribute if a.type == onnx.AttributeProto.STRING}
    assert given.get("engine", "") == engine
