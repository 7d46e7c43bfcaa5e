from pathlib import Path

import pytest

from spa_onnx.bench.kernels.roofline import MEGABYTE, USUAL_L2, Roofline, second_level_cache
from tests.spa_onnx.bench.kernels.some_timings import timing


def test_a_layer_is_limited_by_its_operations_or_its_bytes() -> None:
    found = timing()  # 1 ms, 2 * 10000 * 10 operations, 60000 + 4 * (4000 + 1000) bytes, 4 copies
    assert found.roofline_share(Roofline(1, 1e9, {1: 1e12})) == pytest.approx(0.2)
    assert found.roofline_share(Roofline(1, 1e15, {1: 1e9})) == pytest.approx(0.08)


def test_rates_count_stored_and_dense_operations() -> None:
    found = timing()
    assert found.stored_rate == pytest.approx(0.2)
    assert found.dense_equivalent_rate == pytest.approx(0.8)
    assert found.ratio == 2.0


@pytest.mark.parametrize("threads", [1, 2])
def test_the_machine_is_measured_once_for_each_size(threads: int) -> None:
    found = Roofline.measured(threads)
    assert found.peak > 0
    first = found.bandwidth(3.1 * MEGABYTE)
    assert first > 0
    assert found.bandwidth(4.9 * MEGABYTE) == first
    assert list(found.bandwidths) == [4]


def test_the_second_level_cache_is_read_from_the_system(tmp_path: Path) -> None:
    assert second_level_cache(tmp_path) == USUAL_L2
    for index, (level, size) in enumerate([("1", "48K"), ("2", "1024K"), ("3", "32768K")]):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        (folder / "level").write_text(f"{level}\n")
        (folder / "size").write_text(f"{size}\n")
    (tmp_path / "index9").mkdir()
    assert second_level_cache(tmp_path) == 1024 * 1024
