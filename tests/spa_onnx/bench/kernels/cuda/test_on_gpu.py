"""A whole run: on a fake, and by the command on the emulated device."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from spa_onnx.bench.kernels.cuda import on_gpu, roofline
from spa_onnx.bench.kernels.cuda.cases import GROUPS
from spa_onnx.bench.kernels.cuda.on_gpu import NoDeviceError, OnGpu
from spa_onnx.bench.kernels.outcome import Asked
from spa_onnx.bench.kernels.shapes import Convolution, Group, Linear
from spa_onnx.runtime.cuda import CudaDevice, CudaError
from tests.runtime_kernels.cuda.fakes import compiled, needs_compiler
from tests.runtime_kernels.cuda_library import needs_emulator
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import FakeGpu
from tests.spa_onnx.cli.commands import run

TINY = (
    Group("one", [Linear(1, 64, 48)], ("2:4", "unstructured")),
    Group("many", [Linear(20, 64, 48), Linear(33, 64, 48)], ("16x16",)),
    Group("points", [Convolution(16, 32, 5, images=2)], ("16x16",)),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Sequence[Group]:
    """Replace the groups, and the sizes by which a device is measured."""
    monkeypatch.setattr(on_gpu, "GROUPS", TINY)
    monkeypatch.setattr(roofline, "SQUARE", 32)
    monkeypatch.setattr(roofline, "READ", 1 << 12)
    monkeypatch.setattr(roofline, "RUNS", 2)
    return TINY


def on_fake(gpu: FakeGpu, *groups: str) -> OnGpu:
    made = OnGpu.of(Asked(groups, (), (0.5,)), ["float16"], 3, every_kernel=False)
    return OnGpu(made.groups, made.cases, 3, every_kernel=False, gpu=gpu)


@pytest.mark.usefixtures("tiny")
def test_all_figures_are_kept_in_the_order_of_the_groups() -> None:
    told: list[tuple[str, int]] = []
    outcome = on_fake(FakeGpu()).run("the command", lambda text, done: told.append((text, done)))
    assert [done for _, done in told] == [1, 2, 3, 4, 5]
    content = json.loads(outcome.json)
    layers = content["layers"]
    assert [(la["group"], la["pattern"], la["shape"].get("tokens")) for la in layers] == [
        ("one", "2:4", 1), ("one", "unstructured", 1), ("many", "16x16", 20),
        ("many", "16x16", 33), ("points", "16x16", None),
    ]  # fmt: skip
    assert all(layer["ratio"]["median"] == pytest.approx(2) for layer in layers)
    assert {m["group"]: m["mean"] for m in content["means"]}["many float16"] == pytest.approx(2)
    assert content["command"] == "the command"
    assert datetime.fromisoformat(content["date"]).tzinfo is not None
    machine = content["machine"]
    assert (machine["device"], machine["compute_capability"]) == ("Fake 9000", "9.0")
    assert (machine["cuda_driver"], machine["cuda_runtime"]) == ("13.0", "12.8")
    assert not machine["emulated"]
    assert "driver" in machine
    assert content["roofline"]["peak_tflops"]["float16"] > 0
    assert outcome.machine.startswith("Fake 9000, compute capability 9.0")
    assert len(outcome.sheet.lines) == 5


@pytest.mark.usefixtures("tiny")
def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy() -> None:
    class Absent(FakeGpu):
        def device(self) -> CudaDevice:
            raise CudaError("CUDA: looking for devices: no CUDA-capable device is detected")

    with pytest.raises(NoDeviceError, match=r"no CUDA-capable .* Run the command on a machine"):
        on_fake(Absent()).check()


@pytest.mark.usefixtures("tiny")
def test_without_cublaslt_nothing_is_timed() -> None:
    gpu = FakeGpu(has_cublaslt=False)
    with pytest.raises(CudaError, match="cuBLASLt cannot be loaded"):
        on_fake(gpu).run("", lambda _text, _done: None)
    assert not gpu.runners


def test_groups_are_listed() -> None:
    done = run("bench", "kernels", "--target", "cuda", "--list")
    assert done.exit_code == 0, done.output
    assert "decode: 16x16, 32x32, 64x64, 2:4, unstructured\n    1 x 4096 -> 4096\n" in done.stdout
    assert all(f"{group.name}: " in done.stdout for group in GROUPS)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--target", "cuda", "--group", "3x3"), "there is no group '3x3'; --list tells of decode"),
        (("--target", "cuda", "--pattern", "4x1"), "no kernel for GPUs has pattern 4x1"),
        (("--target", "cuda", "--threads", "2"), "--threads and --half go with --target cpu only"),
        (("--target", "cuda", "--half"), "--threads and --half go with --target cpu only"),
        (("--type", "float16"), "--type and --every-kernel go with --target cuda only"),
        (("--every-kernel",), "--type and --every-kernel go with --target cuda only"),
        (("--target", "rocm"), "'rocm' is not one of"),
    ],
)
def test_wrong_options_are_errors_before_anything_runs(
    words: tuple[str, ...], problem: str
) -> None:
    done = run("bench", "kernels", *words)
    assert done.exit_code == 2
    assert problem in done.stderr


def test_without_the_library_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", "nowhere.so")
    done = run("bench", "kernels", "--target", "cuda")
    assert done.exit_code == 3
    assert "nowhere.so does not exist" in done.stderr


@needs_emulator
@needs_compiler
@pytest.mark.usefixtures("tiny")
def test_the_command_times_what_the_library_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SPA_ONNX_CUBLASLT", str(compiled("fake_cublaslt.cc", tmp_path)))
    monkeypatch.setattr("spa_onnx.bench.kernels.cuda.turns.CACHES", 0)
    data, page = tmp_path / "k.json", tmp_path / "k.md"
    words = ("--rounds", "1", "--sparsity", "0.5", "--type", "float16", "--every-kernel")
    done = run("bench", "kernels", "--target", "cuda", *words, "--json", data, "-o", page)
    assert done.exit_code == 0, done.output
    assert "[5/5] " in done.stderr
    content = json.loads(data.read_text())
    assert content["machine"]["emulated"]
    assert content["command"].startswith("spa-onnx bench kernels --target cuda --sparsity 0.5")
    decoded = next(la for la in content["layers"] if la["pattern"] == "unstructured")
    assert decoded["kernel"] == "gemv_masks_x1"
    assert set(decoded["kernels_us"]) == {"gemv_masks_x1", "gemv_masks_x4"}
    text = page.read_text()
    assert "| one float16 | 2:4 | 50 % | 1 x 64 -> 48 |" in text
    assert "these times say nothing of any GPU" in text
