from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spa_onnx.errors import CalibrationError, CalibrationFileError, PreprocessError
from spa_onnx.inputs.batches import ArrayBatches
from spa_onnx.inputs.sources import SAMPLES, ReadOnce
from tests.spa_onnx.calibrate.small_models import (
    image_model,
    joined,
    lengths,
    one_by_one,
    pictures,
    read,
    token_model,
    two_input_model,
)

ITEMS = pictures(70)


class Dataset:
    """Items by index, as data sets of training frameworks have them."""

    def __getitem__(self, index: int) -> Any:
        return {"image": ITEMS[index]}

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(70))


def write(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


FORMS = {
    "array": lambda _: ITEMS,
    "mapping": lambda _: {"image": ITEMS},
    "list of batches": lambda _: [ITEMS[:9], ITEMS[9:]],
    "generator of items": lambda _: one_by_one(ITEMS),
    "generator of mappings": lambda _: ({"image": x} for x in (ITEMS[:50], ITEMS[50:])),
    "generator of tuples": lambda _: ((x,) for x in (ITEMS[:50], ITEMS[50:])),
    "data set": lambda _: Dataset(),
    "nested lists": lambda _: [x.tolist() for x in ITEMS],
    "batches": lambda _: ArrayBatches({"image": ITEMS}, 64),
    "npz": lambda folder: write(folder / "a.npz", image=ITEMS),
    "npz of another name": lambda folder: str(write(folder / "a.npz", anything=ITEMS)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_batches(form: str, tmp_path: Path) -> None:
    found = read(FORMS[form](tmp_path), image_model())
    assert found.batches.samples == 70
    assert found.batches.origin == "calibration data"
    assert lengths(found.batches) == [64, 6]
    np.testing.assert_allclose(joined(found.batches), ITEMS)
    np.testing.assert_allclose(joined(found.batches.first(65)), ITEMS[:65])
    assert found.notes == ()


@pytest.mark.parametrize("form", ["array", "generator of items", "npz"])
def test_fixed_batches_are_whole_and_the_rest_is_told(form: str, tmp_path: Path) -> None:
    found = read(FORMS[form](tmp_path), image_model(8, 3, 8, 8))
    assert lengths(found.batches) == [8] * 8
    assert found.notes == ("6 calibration items were left out: the model runs on batches of 8",)


def test_samples_limit_the_items() -> None:
    assert read(ITEMS, image_model(), samples=9).batches.samples == 9
    found = read(ITEMS, image_model(), samples=10).batches
    np.testing.assert_array_equal(joined(found), ITEMS[::7])
    np.testing.assert_array_equal(joined(found.first(3)), ITEMS[:21:7])
    found = read(ITEMS, image_model(), samples=60).batches  # no class of sorted items is left out
    np.testing.assert_array_equal(joined(found)[-1], ITEMS[68])
    assert read(one_by_one(ITEMS), image_model(), samples=9).batches.samples == 9
    batches = ArrayBatches({"image": ITEMS}, 64)
    assert read(batches, image_model(), samples=9).batches.samples == 9


@pytest.mark.parametrize(("samples", "batches"), [(1, 1), (8, 1), (17, 2), (None, 8)])
def test_a_limit_is_met_in_whole_batches(samples: int | None, batches: int) -> None:
    for source in (ITEMS, one_by_one(ITEMS)):
        found = read(source, image_model(8, 3, 8, 8), samples=samples).batches
        assert lengths(found) == [8] * batches


def test_an_endless_source_ends_and_a_long_one_is_told_of() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield ITEMS

    assert read(endless(), image_model()).batches.samples == SAMPLES
    found = read(np.concatenate([ITEMS] * 8), image_model())
    assert found.batches.samples == SAMPLES
    assert "512 of 560 calibration items are used" in found.notes[0]


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    large = np.lib.format.open_memmap(path, "w+", np.float32, (1 << 22, 3, 8, 8))  # 3 GB, sparse
    large[0] = 1
    del large
    found = read(path, image_model())
    assert found.batches.samples == SAMPLES


def test_inputs_with_the_items_on_other_axes() -> None:
    arrays = {"a": pictures(70, 4), "b": pictures(6, 70), "scale": np.ones(1, np.float32)}
    for source in (arrays, iter([arrays]), [tuple(arrays.values())]):
        first, second = read(source, two_input_model()).batches
        assert [first[n].shape for n in ("a", "b", "scale")] == [(64, 4), (6, 64), (1,)]
        assert [second[n].shape for n in ("a", "b", "scale")] == [(6, 4), (6, 6), (1,)]


def test_a_generator_is_read_once_however_often_a_run_starts_again() -> None:
    source = ReadOnce(one_by_one(ITEMS))
    assert read(source, image_model()) is read(source, image_model())


REFUSED = [
    (lambda: 3, "int is no form of calibration inputs: give an .npz"),
    (lambda: b"bytes", "bytes is no form"),
    (lambda: lambda: 3, "function is no form of calibration inputs: call it"),
    (lambda: ["a", "b"], "element 0, 'image', holds <U1 .str., no numbers"),
    (lambda: [ITEMS, None], "element 1, 'image', holds object"),
    (lambda: [[ITEMS[0], ITEMS[0, 0]]], "element 0, 'image', is no array of numbers"),
    (lambda: [(ITEMS, 3)], "element 0 is a tuple of 2; .* labels are not needed"),
    (lambda: {"image": "text"}, "array 'image' holds <U4"),
    (list, "no items"),
    (dict, "missing 'image'"),
]


@pytest.mark.parametrize(("source", "text"), REFUSED)
def test_what_is_no_input_is_refused(source: Any, text: str) -> None:
    with pytest.raises(CalibrationError, match=text):
        read(source(), image_model())


def test_one_array_does_not_feed_two_inputs(tmp_path: Path) -> None:
    ids = np.arange(40).reshape(8, 5)
    with pytest.raises(CalibrationError, match="one array for 2 inputs: 'input_ids' int64"):
        read(ids, token_model())
    with pytest.raises(CalibrationError, match="element 0 is one ndarray; the model's inputs"):
        read([ids], token_model())
    with pytest.raises(CalibrationError, match="missing 'attention_mask'"):
        read(write(tmp_path / "a.npz", input_ids=ids), token_model())


def test_batches_of_the_wrong_type_are_refused_for_they_are_fed_as_they_are() -> None:
    batches = ArrayBatches({"image": ITEMS.astype(np.float64)}, 9)
    with pytest.raises(CalibrationError, match="has type float64, the model wants float32"):
        read(batches, image_model())


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    for name, text in (
        ("missing", "no such file or folder. Give an .npz, .npy or .jsonl file, or a folder"),
        ("a.txt", "'.txt' is no form of calibration inputs"),
    ):
        with pytest.raises(CalibrationFileError, match=text):
            read(tmp_path / name, image_model())
    with pytest.raises(CalibrationFileError, match="is no regular file"):
        read(Path("/dev/null"), image_model())


def test_a_description_is_for_files_that_need_one(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ITEMS)
    for source in (ITEMS, tmp_path / "a.npy"):
        with pytest.raises(PreprocessError, match="not arrays"):
            read(source, image_model(), preprocess="imagenet")
