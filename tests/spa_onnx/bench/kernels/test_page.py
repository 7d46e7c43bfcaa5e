from io import StringIO

from rich.console import Console

from spa_onnx.bench.kernels.page import TITLES, aligned, cells, print_sheet, sentence, sheet
from tests.spa_onnx.bench.kernels.some_timings import row


def test_columns_are_as_wide_as_they_need() -> None:
    assert aligned(["name", "n"], [["a", "10"], ["longer", "7"]], 1).splitlines() == [
        "name     n",
        "a       10",
        "longer   7",
    ]


def test_a_narrow_window_hides_no_number() -> None:
    text = StringIO()
    rows = [row("first", 2.0), row("second", 3.0, 0.5)]
    print_sheet(Console(file=text, width=40, markup=False, highlight=False), sheet(rows), "So.")
    lines = [line.split() for line in text.getvalue().splitlines()]
    for one in rows:
        assert " ".join(cells(one)).split() in lines
    assert ["first", "4x1", "1", "2.00", "(2.0-2.0)"] in lines


def test_a_layer_has_a_cell_for_every_title_and_reads_as_a_line() -> None:
    one = row("first", 2.0)
    assert dict(zip(TITLES, cells(one), strict=True))["ratio"] == "2.00"
    assert sentence(one) == (
        "first 4x1 75 % 10 x 400 -> 100: 1000.0 us, dense 2000.0 us (packed), 2.00x, 0 GFLOP/s "
        "stored, 1 as dense, 50 % of roofline [4x1]"
    )
