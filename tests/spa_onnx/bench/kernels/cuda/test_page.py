from dataclasses import replace

import pytest

from spa_onnx.bench.kernels.cuda.page import TITLES, cells, how_measured, sentence, sheet
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import DEVICE
from tests.spa_onnx.bench.kernels.cuda.some_rows import ROOFLINE, row


def test_a_layer_has_a_cell_for_every_title_and_reads_as_a_line() -> None:
    found = dict(zip(TITLES, cells(row()), strict=True))
    assert (found["group"], found["ratio"], found["us"]) == ("some float16", "2.00", "1000.00")
    assert found["of roofline"] == "7 %"  # (60000 + 2 * 10 * 500) bytes at 1 GB/s
    assert sentence(row()) == (
        "some float16 16x16 75 % 10 x 400 -> 100: 1000.00 us, dense 2000.00 us, 2.00x, 0.0 "
        "TFLOP/s stored, 0 GB/s, 7 % of roofline [gemm_tiles16_x64]"
    )


def test_types_have_means_of_their_own() -> None:
    rows = [
        row("a", 2.0, together="both"),
        row("b", 8.0, together="both"),
        row("a", 3.0, "bfloat16", together="both"),
    ]
    found = {mean.group: mean.mean for mean in sheet(rows).means}
    expected = {"a float16": 2.0, "b float16": 8.0, "a bfloat16": 3.0, "both float16": 4.0}
    assert found == pytest.approx(expected)


def test_a_page_says_what_the_device_can_do_and_whether_it_is_one() -> None:
    text = how_measured(DEVICE, ROOFLINE, 9)
    assert "1 TFLOP/s in a dense product of float16" in text
    assert "1 GB/s read" in text
    assert "emulated" not in text
    assert "these times say nothing of any GPU" in how_measured(
        replace(DEVICE, emulated=True), ROOFLINE, 9
    )
