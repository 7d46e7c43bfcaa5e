"""What a report says of a latency that was missed, or measured on a busy machine."""

from dataclasses import replace

from spa_onnx.report.make import latency_notes
from spa_onnx.report.report import LatencyReport
from spa_onnx.report.text import latency_line

GOOD = LatencyReport(0.004, 0.008, 0.0041, 0.00398, 0.4975, 0.02, 120, 3, 1, {"x": (1, 3)})


def test_a_latency_that_was_met_needs_no_note() -> None:
    assert latency_notes(None) == latency_notes(GOOD) == ()


def test_a_latency_that_was_missed_is_said() -> None:
    (note,) = latency_notes(replace(GOOD, measured=0.0042))
    assert "slower than --max-latency" in note


def test_a_busy_machine_is_said() -> None:
    (note,) = latency_notes(replace(GOOD, spread=0.7))
    assert "busy" in note


def test_a_line_holds_all_figures() -> None:
    line = latency_line(GOOD)
    for text in ("8 ms -> 3.98 ms (49.8%)", "4 ms asked for", "4.1 ms estimated", "120 runs",
                 "1 thread", "2.0%", "x [1, 3]"):  # fmt: skip
        assert text in line
