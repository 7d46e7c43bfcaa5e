"""Outcomes as tables and pictures."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from spa_onnx.bench.criteria.plot import ABSCISSAS, draw
from spa_onnx.bench.criteria.table import as_csv, as_json, groups, markdown
from spa_onnx.bench.criteria.unit import Outcome


def outcomes() -> list[Outcome]:
    made = []
    for recipe, lost in (("l2", 10.0), ("ours", 2.0)):
        for amount in (0.7, 0.5):
            for seed, shift in enumerate((-1.0, 0.0, 1.0)):
                score = 90 - lost / amount + shift
                made.append(
                    Outcome(
                        f"{recipe}{amount}{seed}", "m.onnx", recipe, "keep-flops", amount, seed, "",
                        90.0, score, 0.25, amount, amount / 2, 3.0,
                    )
                )  # fmt: skip
    return made


def test_seeds_are_put_together() -> None:
    page = markdown(outcomes(), "spa-onnx bench criteria m.onnx", "versions")
    assert (
        "| m.onnx | keep-flops 0.5 | l2 | 70.00 ± 1.00 | 20.00 ± 1.00 | 0.2500 ± 0.0000 |" in page
    )
    assert page.count("3 of 3") == 4
    assert "Without a result" not in page


def test_failures_stand_below() -> None:
    one = replace(outcomes()[0], failure="no | budget", score=None, operations=None)
    page = markdown([one], "command", "versions")
    assert "0 of 1" in page
    assert r"no \| budget" in page.partition("Without a result")[2]


def test_csv_and_json_hold_every_outcome() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(outcomes()))))
    assert len(rows) == len(json.loads(as_json(outcomes()))) == 12
    assert rows[0]["score"] == str(outcomes()[0].score)


def test_a_picture_for_every_model(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    other = [replace(o, model="n.onnx", score=None, dense=None) for o in outcomes()]
    failed = replace(outcomes()[0], model="failed.onnx", failure="no")
    written = draw([*outcomes(), *other, failed], tmp_path / "plots")
    assert [p.name for p in written] == ["m.png", "n.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in written)
    assert len(groups(other)) == 4


def test_pictures_against_latency_leave_out_what_was_not_timed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    timed = [replace(o, dense_ms=4.0, latency_ms=3.0) for o in outcomes()]
    abscissa = ABSCISSAS["latency"]
    assert [abscissa.read(o) for o in timed] == [75.0] * 12
    assert abscissa.read(outcomes()[0]) is None
    (written,) = draw([*timed, *outcomes()], tmp_path / "plots", "latency")
    assert written.read_bytes().startswith(b"\x89PNG")


def test_latencies_stand_in_the_table() -> None:
    timed = [replace(o, dense_ms=4.0, latency_ms=3.0) for o in outcomes()]
    assert "| 4 | 3 | 3.0 | 3 of 3 |" in markdown(timed, "command", "versions")
