from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spa_onnx.load.model import load
from spa_onnx.lower.find import find_layers
from spa_onnx.lower.packings import Packing, Zeros, count_zeros
from spa_onnx.lower.table import CACHE_VARIABLE, Machine, Table, cache_folder, line_of
from spa_onnx.lower.trial import Timing, Trial
from spa_onnx.lower.view import View
from spa_onnx.lower.weights import matrix
from spa_onnx.normalise.graph import normalise
from spa_onnx.runtime.packed_kinds import HALVES
from tests.spa_onnx.lower.models import MODELS, built

MACHINE = Machine("fast", 1, "library", "1.0")


def some_trial(width: int = 4) -> tuple[Trial, Zeros]:
    """Return a layer with an input of some width."""
    view = View.of(normalise(load(built(MODELS["1x1"]))))
    (layer,) = find_layers(view).layers
    dense = matrix(view, layer.source)
    ways = (Packing(1, 4),)
    return Trial(layer, lambda: dense, None, (1, 6, 3, width), (1, 5, 3, width), ways), count_zeros(
        dense
    )


class Stopwatch:
    """Counts measurements."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, trial: Trial) -> Timing:
        self.count += 1
        return Timing(float(self.count), 1.0, 2.0, {"4x1": 0.5})


def test_a_layer_is_measured_once_and_kept_for_the_next_run(tmp_path: Path) -> None:
    watch = Stopwatch()
    table = Table.opened(MACHINE, tmp_path, watch)
    first = table.timing(*some_trial())
    assert table.timing(*some_trial()) == first
    assert table.timing(*some_trial(5)) != first
    table.save()
    later = Table.opened(MACHINE, tmp_path, watch)
    assert later.timing(*some_trial()) == first
    assert (watch.count, later.measured) == (2, 0)


def test_a_fresh_table_measures_again_and_replaces_what_was_known(tmp_path: Path) -> None:
    watch = Stopwatch()
    for fresh in (False, True):
        table = Table.opened(MACHINE, tmp_path, watch, fresh=fresh)
        table.timing(*some_trial())
        table.save()
    assert watch.count == 2
    assert Table.opened(MACHINE, tmp_path, watch).timing(*some_trial()).dense == 2


@pytest.mark.parametrize(
    "other",
    [
        Machine("slow", 1, "library", "1.0"),
        Machine("fast", 2, "library", "1.0"),
        Machine("fast", 1, "other", "1.0"),
        Machine("fast", 1, "library", "1.1"),
    ],
)
def test_times_hold_for_one_machine_library_runtime_and_number_of_threads(
    tmp_path: Path, other: Machine
) -> None:
    watch = Stopwatch()
    for machine in (MACHINE, other):
        table = Table.opened(machine, tmp_path, watch)
        table.timing(*some_trial())
        table.save()
    assert watch.count == 2


def test_layers_with_other_zeros_have_lines_of_their_own(tmp_path: Path) -> None:
    watch = Stopwatch()
    table = Table.opened(MACHINE, tmp_path, watch)
    trial, zeros = some_trial()
    table.timing(trial, zeros)
    table.timing(trial, Zeros(zeros.density, {**zeros.stored, 32: 0.123}, 0.321))
    assert watch.count == 1  # no way of this layer stores so
    table.timing(trial, Zeros(zeros.density * 1.3, zeros.stored, zeros.segments))
    table.timing(trial, Zeros(zeros.density, {4: zeros.stored[4] / 1.3}, zeros.segments))
    assert watch.count == 3
    table.timing(trial, Zeros(0.0, {4: 0.0}, 0.0))
    assert watch.count == 4


def test_types_of_values_have_lines_of_their_own() -> None:
    trial, zeros = some_trial()
    line = line_of(trial, zeros)
    assert "values" not in line
    for values in HALVES:
        half = replace(trial, layer=replace(trial.layer, values=values))
        assert json.loads(line_of(half, zeros))["values"] == values.dtype.name


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 0, "layers": {}}', '{"version": 1}']
)
def test_a_file_that_cannot_be_read_is_measured_again(tmp_path: Path, content: str) -> None:
    watch = Stopwatch()
    path = tmp_path / MACHINE.file_name
    path.write_text(content)
    table = Table.opened(MACHINE, tmp_path, watch)
    table.timing(*some_trial())
    table.save()
    assert watch.count == 1
    assert len(json.loads(path.read_text())["layers"]) == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_others_wrote_in_the_meantime_stays(tmp_path: Path) -> None:
    tables = [Table.opened(MACHINE, tmp_path, Stopwatch()) for _ in range(2)]
    for width, table in zip((4, 5), tables, strict=True):
        table.timing(*some_trial(width))
        table.save()
    assert len(Table.opened(MACHINE, tmp_path, Stopwatch()).lines) == 2


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    table = Table.opened(MACHINE, file / "folder", Stopwatch())
    table.timing(*some_trial())
    table.save()
    assert file.read_text() == ""


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder().name == "spa-onnx"


def test_times_are_plain_numbers(tmp_path: Path) -> None:
    table = Table.opened(
        MACHINE, tmp_path, lambda _: Timing(float(np.float64(1)), 0, 0, {"1x1": 2})
    )
    table.timing(*some_trial())
    table.save()
    assert Table.opened(MACHINE, tmp_path, Stopwatch()).lines == table.lines
