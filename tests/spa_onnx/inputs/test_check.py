from typing import Any

import numpy as np
import onnx
import pytest

from spa_onnx.errors import CalibrationError, CalibrationInputError
from spa_onnx.inputs.check import Checker
from tests.spa_onnx.calibrate.small_models import (
    ROWS,
    image_model,
    pictures,
    read,
    signature,
    token_model,
    two_input_model,
)


def with_value(value: float) -> Any:
    found = pictures(16).astype(np.float64)
    found[3, 0, 1, 2] = found[5, 0, 0, 0] = value
    return found


IDS = np.arange(40).reshape(8, 5)

REFUSED: list[tuple[onnx.ModelProto, Any, str]] = [
    (image_model(), {"img": pictures(9)}, r"unknown 'img'; missing 'image'\..*'image' float32\["),
    (token_model(), {"input_ids": IDS}, r"missing 'attention_mask'"),
    (image_model(), pictures(9, 8), r"'image' has shape \[9, 8\].*4 axes"),
    (image_model(), pictures(9, 8, 8, 3), r"length 8 on axis 1, the model wants float32\[batch"),
    (image_model(), pictures(9).astype(np.complex64), "complex64.*no numbers"),
    (token_model("ids"), IDS.astype(float), "has type float64, the model wants int64"),
    (token_model("ids"), IDS + 30, f"the id 69, but the model's table has {ROWS} rows"),
    (token_model("ids"), IDS - 60, "the id -60"),
    (image_model(), with_value(np.nan), "'image' 2 of 3072 values are NaN or inf.*at item 0"),
    (image_model(), with_value(np.inf), "2 of 3072 values are NaN or infinite"),
    (image_model(), with_value(1e300), "2 of 3072 values are NaN or infinite"),
    (image_model(), np.zeros((9, 3, 8, 8)), r"constant \('image' is 0.0 everywhere\)"),
    (image_model(), pictures(0), r"no items\. Give at least 8, better 128 or more"),
    (image_model(16, 3, 8, 8), pictures(9), "fewer than the 16 items of one batch"),
    (token_model(), {"input_ids": IDS, "attention_mask": IDS[:7]}, "has length 7 on axis 0"),
    (token_model(), {"input_ids": IDS, "attention_mask": IDS[:, :4]}, r"axis 1 \(sequence\)"),
    (
        two_input_model(),
        {"a": pictures(9, 4), "b": pictures(6, 9), "scale": np.ones(2)},
        "'scale' has length 2 on axis 0",
    ),
]


@pytest.mark.parametrize(("model", "source", "text"), REFUSED)
@pytest.mark.parametrize("form", ["arrays", "iterable"])
def test_arrays_that_do_not_fit_are_refused(
    model: onnx.ModelProto, source: Any, text: str, form: str
) -> None:
    with pytest.raises(CalibrationError, match=text):
        read(source if form == "arrays" else iter([source]), model)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(np.float64, np.float32), (np.float16, np.float32), (np.float32, np.float16)],
)
def test_floats_are_cast(given: type[np.generic], wanted: type[np.generic]) -> None:
    found = read(pictures(9).astype(given), image_model(dtype=wanted))
    assert {f["image"].dtype for f in found.batches} == {np.dtype(wanted)}
    assert found.notes == ()


def test_pixels_are_fed_as_floats_with_a_note() -> None:
    found = read(np.arange(9 * 192, dtype=np.uint8).reshape(9, 3, 8, 8), image_model())
    assert next(iter(found.batches))["image"].dtype == np.float32
    assert "uint8 values are fed as float32 as they are" in found.notes[0]


def test_integers_are_cast_where_they_fit() -> None:
    checker = Checker(signature(token_model("ids")))
    assert checker.batch({"ids": IDS.astype(np.uint8)})["ids"].dtype == np.int64
    with pytest.raises(CalibrationInputError, match="beyond int64"):
        checker.batch({"ids": IDS.astype(np.uint64) + 2**63})


def test_few_items_are_noted_with_how_many_are_sensible() -> None:
    assert read(pictures(8), image_model()).notes == ()
    (note,) = read(pictures(7), image_model()).notes
    assert "only 7 calibration items" in note
    assert "128 or more" in note


def test_copies_of_an_item_do_not_count() -> None:
    x = pictures(10)
    copies, few = read(np.concatenate([x[:7], x[:7]]), image_model()).notes
    assert "7 of 14 calibration items are copies of others" in copies
    assert "only 7 calibration items" in few
    assert read(x, image_model()).notes == ()


def test_items_that_share_one_input_are_no_copies() -> None:
    mask = np.ones_like(IDS)
    assert read({"input_ids": IDS, "attention_mask": mask}, token_model()).notes == ()
    both = {"input_ids": IDS[[0, 1] * 8], "attention_mask": mask[[0, 1] * 8]}
    assert "14 of 16 calibration items" in read(both, token_model()).notes[0]


def test_inputs_that_are_constant_beside_others_that_vary_are_ordinary() -> None:
    mask = np.ones_like(IDS)
    assert read({"input_ids": IDS, "attention_mask": mask}, token_model()).batches.samples == 8
