import gc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from spa_onnx.errors import CalibrationError
from spa_onnx.inputs import record as recording
from spa_onnx.inputs.batches import Feeds
from spa_onnx.inputs.check import Checker
from spa_onnx.inputs.record import RecordedBatches, record
from tests.spa_onnx.calibrate.small_models import (
    image_model,
    joined,
    lengths,
    pictures,
    signature,
    token_model,
    two_input_model,
)


def pieces(array: Any, *counts: int) -> Iterator[Feeds]:
    start = 0
    for count in counts:
        yield {"image": array[start : start + count]}
        start += count


def recorded(array: Any, *counts: int, limit: int = 999, **options: Any) -> RecordedBatches:
    checker = Checker(signature(image_model(*options.pop("shape", ()))))
    return record(pieces(array, *counts), checker, limit, **options)


@pytest.mark.parametrize("memory", [0, 3000, 10**9])
def test_pieces_of_any_length_become_even_batches(memory: int) -> None:
    array = pictures(150)
    found = recorded(array, 1, 70, 1, 78, memory=memory)
    assert lengths(found) == [64, 64, 22]
    np.testing.assert_array_equal(joined(found), array)
    gc.collect()
    np.testing.assert_array_equal(joined(found.first(70)), array[:70])


def test_no_more_pieces_are_read_than_needed() -> None:
    array = pictures(2)

    def endless() -> Iterator[Feeds]:
        while True:
            yield {"image": array}

    found = record(endless(), Checker(signature(image_model())), 7)
    assert found.samples == 7


def test_batches_of_a_fixed_size_are_whole() -> None:
    array = pictures(11)
    checker = Checker(signature(image_model(4, 3, 8, 8)))
    found = record(pieces(array, 3, 3, 5), checker, 999)
    assert lengths(found) == [4, 4]
    np.testing.assert_array_equal(joined(found), array[:8])
    assert list(checker.notes) == [
        "3 calibration items were left out: the model runs on batches of 4"
    ]
    assert lengths(found.first(1)) == [4]
    assert lengths(found.first(7)) == [4]
    assert lengths(found.first(8)) == [4, 4]


def test_a_limit_below_a_whole_batch_is_one_batch() -> None:
    assert lengths(recorded(pictures(11), 11, limit=2, shape=(4, 3, 8, 8))) == [4]


def test_texts_of_other_lengths_are_batches_of_their_own() -> None:
    def texts() -> Iterator[Feeds]:
        for length in (5, 5, 3, 5):
            yield {"ids": np.arange(2 * length).reshape(2, length)}

    found = record(texts(), Checker(signature(token_model("ids"))), 999)
    assert [f["ids"].shape for f in found] == [(4, 5), (2, 3), (2, 5)]
    assert [f["ids"].shape for f in found.first(5)] == [(4, 5), (1, 3)]


def test_arrays_that_are_filled_again_are_kept_as_they_were() -> None:
    def refilled() -> Iterator[Feeds]:
        array = np.zeros((64, 3, 8, 8), np.float32)
        for k in range(3):
            array[:] = k
            yield {"image": array}

    found = record(refilled(), Checker(signature(image_model())), 999)
    assert [float(f["image"].mean()) for f in found] == [0, 1, 2]


def test_items_along_another_axis_are_joined_there() -> None:
    def parts() -> Iterator[Feeds]:
        for k in range(3):
            yield {"scale": np.ones(1, np.float32), "b": pictures(6, 2) + k, "a": pictures(2, 4)}

    (feeds,) = record(parts(), Checker(signature(two_input_model())), 5)
    assert {n: a.shape for n, a in feeds.items()} == {"a": (5, 4), "b": (6, 5), "scale": (1,)}
    np.testing.assert_array_equal(feeds["b"][:, 2:4], pictures(6, 2) + 1)
    assert next(iter(feeds)) == "a"  # its first axis counts the items


def test_a_full_disk_is_a_named_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recording.tempfile, "TemporaryFile", full)
    with pytest.raises(CalibrationError, match=r"No space left on device.*TMPDIR"):
        recorded(pictures(9), 9, memory=0)


def test_progress_is_told() -> None:
    heard: list[tuple[int, int]] = []
    recorded(pictures(100), 100, limit=90, tell=lambda done, total: heard.append((done, total)))
    assert heard == [(64, 90), (90, 90)]
