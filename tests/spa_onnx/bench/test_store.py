from dataclasses import replace
from pathlib import Path

import pytest

from spa_onnx.bench.result import Check, Memory
from spa_onnx.bench.store import Store
from spa_onnx.errors import BenchFileError
from tests.spa_onnx.bench.some_results import KEY, facts, result

LIMIT = 60.0


def test_what_was_added_is_found_by_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    found = facts(memory=Memory(1, 2, 3), original=Check(loads=True, runs=True))
    first, last = result(found=found), result("refused")
    store = Store(path)
    store.add(first)
    assert Store(path).find(KEY, LIMIT, 0) == first
    store.add(last)
    assert Store(path).find(KEY, LIMIT, 0) == last
    assert len(path.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "change",
    [{"content": "x"}, {"ratio": 0.4}, {"importance": "l1"}, {"proved": False}, {"compiler": "x"}],
)
def test_another_key_has_no_result(tmp_path: Path, change: dict[str, object]) -> None:
    store = Store(tmp_path / "results.jsonl")
    store.add(result())
    assert store.find(replace(KEY, **change), LIMIT, 0) is None  # type: ignore[arg-type]


def test_a_timeout_is_tried_again_with_more_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.jsonl")
    store.add(result("timeout", limit=10))
    assert store.find(KEY, 10, 0) is not None
    assert store.find(KEY, 5, 0) is not None
    assert store.find(KEY, 20, 0) is None


def test_a_want_of_memory_is_tried_again_with_another_limit(tmp_path: Path) -> None:
    store = Store(tmp_path / "results.jsonl")
    store.add(result("out of memory"))
    assert store.find(KEY, LIMIT, 0) is not None
    assert store.find(KEY, LIMIT, 10**9) is None


def test_half_a_line_is_what_an_interrupted_run_left(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for content in ("a", "b", "c"):
        Store(path).add(result(key=replace(KEY, content=content)))
        with path.open("a") as file:
            file.write('{"model": "hälf')
    store = Store(path)
    assert all(store.find(replace(KEY, content=c), LIMIT, 0) for c in ("a", "b", "c"))
    assert len(path.read_text().splitlines()) == 3


def test_a_text_without_an_end_is_not_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(BenchFileError, match="holds no results"):
        Store(path)
    assert path.read_text() == "my notes"


@pytest.mark.parametrize("line", ["no json", "{}", "[]", '{"model": 3}'])
def test_another_file_is_not_taken_for_results(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(BenchFileError, match=r"results\.jsonl, line 1"):
        Store(path)
    assert path.read_text() == f"{line}\n"


def test_places_that_cannot_hold_results(tmp_path: Path) -> None:
    for path in (Path("/dev/full"), tmp_path):
        with pytest.raises(BenchFileError, match="no regular file"):
            Store(path)
    with pytest.raises(BenchFileError, match="cannot be written"):
        Store(tmp_path / "none" / "results.jsonl")
