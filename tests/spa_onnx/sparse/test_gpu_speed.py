"""Patterns by their speed on a GPU: what is asked of it, and what is kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import onnx
import pytest

from spa_onnx import SparsifyConfig
from spa_onnx.analyse.dims import analyse
from spa_onnx.layers.find import layers_of
from spa_onnx.layers.layer import Layer
from spa_onnx.load.model import load
from spa_onnx.lower.table import Machine
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.cuda import CudaLayer
from spa_onnx.sparse.choose import Chosen, choose
from spa_onnx.sparse.gpu_speed import (
    SPARSITIES,
    GpuSpeed,
    NoSpeedError,
    measured,
    open_table,
    product_of,
)
from spa_onnx.sparse.gpu_speed_table import GpuSpeedTable, Measure, Product, file_name
from spa_onnx.sparse.layers import sparse_layers
from spa_onnx.sparse.passes import SparsePasses
from spa_onnx.sparse.pattern import Pattern, parse_pattern
from tests.builders import GraphBuilder
from tests.runtime_kernels.cuda_library import needs_emulator
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import DEVICE, FakeGpu, FakeRunner

MACHINE = Machine("some GPU", 0, "digest", "driver")
NAMES = ("pointwise", "window", "grouped", "padded", "linear")


def layers() -> dict[str, Layer]:
    g = GraphBuilder(opset=17)
    x = g.conv(g.input("x", (1, 8, 4, 4)), 16, stride=2)
    x = g.conv(g.conv(x, 16, 3), 16, groups=2)
    x = g.conv(x, 16, padding=1)
    model = g.model(g.gemm(g.flatten(x), 64))
    return dict(zip(NAMES, layers_of(normalise(load(model))), strict=True))


def constant(_product: Product, pattern: Pattern, sparsity: float) -> float:
    """Return a time that falls with the sparsity; 2:4 takes six tenths."""
    return 0.6 if pattern.kept else 1.2 - sparsity


def table_of(folder: Path, measure: Measure = constant) -> GpuSpeedTable:
    return GpuSpeedTable.opened(MACHINE, folder, measure)


def speed_of(table: GpuSpeedTable, places: int = 100) -> GpuSpeed:
    return GpuSpeed({layer.node.outputs[0]: places for layer in layers().values()}, table)


def test_products_are_those_that_kernels_for_gpus_do() -> None:
    found = {name: product_of(layer, 7) for name, layer in layers().items()}
    assert found == {
        "pointwise": Product(16, 8, 7, is_convolution=True),
        "window": None,
        "grouped": None,
        "padded": None,
        "linear": Product(64, 256, 7, is_convolution=False),
    }


def test_times_are_measured_once_and_lie_between(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    time, layer = speed_of(table), layers()["linear"]
    tiles = parse_pattern("16x16")
    assert time(layer, tiles, 0.75) == pytest.approx(0.45)
    assert time(layer, tiles, 0.1) == pytest.approx(1.1)
    assert table.measured == len(SPARSITIES)
    two = parse_pattern("2:4")
    assert time(layer, two, 0.5) == time(layer, two, 0.9) == 0.6
    assert table.measured == len(SPARSITIES) + 1
    assert time(layers()["window"], tiles, 0.75) is None


def test_masks_are_for_few_tokens(tmp_path: Path) -> None:
    for places, is_there in ((1, True), (8, True), (9, False)):
        time = speed_of(table_of(tmp_path), places)
        assert (time(layers()["linear"], Pattern(), 0.8) is not None) == is_there
        assert time(layers()["pointwise"], Pattern(), 0.8) is None


def test_what_was_measured_is_kept_for_the_machine(tmp_path: Path) -> None:
    first, layer = table_of(tmp_path), layers()["linear"]
    known = speed_of(first)(layer, parse_pattern("16x16"), 0.8)
    first.save()
    again = table_of(tmp_path)
    assert speed_of(again)(layer, parse_pattern("16x16"), 0.8) == known
    assert again.measured == 0
    other = Machine("other GPU", 0, "digest", "driver")
    assert not GpuSpeedTable.opened(other, tmp_path, constant).lines
    (tmp_path / file_name(MACHINE)).write_text("{")
    assert not table_of(tmp_path).lines


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    table = table_of(blocked / "folder")
    table.time(Product(64, 64, 1, is_convolution=False), Pattern(), 0.5)
    table.save()


@pytest.mark.parametrize("is_convolution", [True, False])
def test_a_time_is_the_share_of_the_dense_one(*, is_convolution: bool) -> None:
    gpu = FakeGpu(sparse=lambda _: 15.0, dense=lambda _: 20.0)
    product = Product(48, 32, 10, is_convolution)
    found = measured(gpu, DEVICE, product, parse_pattern("16x16"), 0.5)
    assert found == pytest.approx(0.75)
    assert gpu.runners[1].what == "10 x 32 -> 48 float16"
    assert all(runner.is_closed for runner in gpu.runners)


class PackedSize(FakeGpu):
    """A GPU that needs as long as the bytes of a weight say; small tiles a half more."""

    def prepare(self, layer: CudaLayer, copies: int) -> FakeRunner:
        """Return a runner."""
        packed = bytes(layer.packed)
        block = int.from_bytes(packed[16:18], "little")
        factor = 1.5 if block == 16 and packed[6] == 4 else 1.0
        share = factor * (len(packed) - 200) / (2 * layer.rows * layer.columns)
        return FakeRunner("ours", lambda _: 20.0 * share, copies)


def chosen(model: onnx.ModelProto, sparsity: float, folder: Path) -> Chosen:
    """Return what auto takes for a GPU of that kind."""
    config = SparsifyConfig(
        sparsity, "auto", target="cuda", selection="magnitude", repair=False, allocation="global"
    )
    table = table_of(folder, partial(measured, PackedSize(), DEVICE))
    state = analyse(normalise(load(model)), {}).propagation
    found, _ = sparse_layers(state, config.patterns, ())
    return choose(state, found, config, SparsePasses.of(config), None, speeds=table)


def perceptron(tokens: int) -> onnx.ModelProto:
    g = GraphBuilder(opset=17)
    x = g.relu(g.linear(g.input("x", (tokens, 128)), 128))
    return g.model(g.linear(g.relu(g.linear(x, 128)), 128))


def test_auto_takes_tiles_for_many_tokens(tmp_path: Path) -> None:
    found = chosen(perceptron(64), 0.8, tmp_path)
    patterns = {str(m.pattern) for m in found.maskings.values()}
    assert len(found.maskings) == 3
    assert patterns <= {"16x16", "32x32", "64x64"}


def test_two_of_four_keeps_its_sparsity_beside_others(tmp_path: Path) -> None:
    def time(product: Product, pattern: Pattern, sparsity: float) -> float:
        return 0.5 if pattern.kept else 2.0 if product.outputs == 128 else 1 - sparsity

    g = GraphBuilder(opset=17)
    x = g.relu(g.linear(g.input("x", (64, 128)), 128))
    model = g.model(g.linear(g.relu(g.linear(x, 192)), 192))
    config = SparsifyConfig(
        0.6, "auto", target="cuda", selection="magnitude", repair=False, allocation="global"
    )
    state = analyse(normalise(load(model)), {}).propagation
    found, _ = sparse_layers(state, config.patterns, ())
    passes = SparsePasses.of(config)
    made = choose(state, found, config, passes, None, speeds=table_of(tmp_path, time))
    by_width = {found[n].width: m for n, m in made.maskings.items()}
    assert str(by_width[128].pattern) == "2:4"
    others = [m for n, m in made.maskings.items() if found[n].width == 192]
    assert all(m.pattern.sparsity is None for m in others)
    assert sum(m.sparsity for m in others) / len(others) == pytest.approx(0.6, abs=0.1)


def test_two_of_four_is_no_way_to_fewer_zeros_than_it_makes(tmp_path: Path) -> None:
    def time(_product: Product, pattern: Pattern, _sparsity: float) -> float:
        return 0.5 if pattern.kept else 2.0

    config = SparsifyConfig(0.3, "auto", target="cuda", selection="magnitude", repair=False)
    state = analyse(normalise(load(perceptron(64))), {}).propagation
    found, _ = sparse_layers(state, config.patterns, ())
    passes = SparsePasses.of(config)
    made = choose(state, found, config, passes, None, speeds=table_of(tmp_path, time))
    assert not made.maskings
    assert len(made.dense) == 3


def test_without_a_library_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPA_ONNX_CUDA_KERNELS", "nowhere.so")
    with (
        pytest.raises(NoSpeedError, match=r"nowhere\.so does not exist.*or name a pattern"),
        open_table(),
    ):
        pass


@needs_emulator
def test_an_emulated_device_has_no_speed() -> None:
    with pytest.raises(NoSpeedError, match="its times mean nothing"), open_table():
        pass
