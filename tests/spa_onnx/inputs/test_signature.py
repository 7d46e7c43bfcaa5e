import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from spa_onnx.errors import CalibrationInputError
from tests.spa_onnx.calibrate.small_models import (
    ROWS,
    image_model,
    signature,
    token_model,
    two_input_model,
)


def test_open_axes_are_symbols_and_the_first_counts_the_items() -> None:
    found = signature(image_model("N", 3, "height", "width"))
    spec = found.inputs["image"]
    assert (spec.shape, spec.items, spec.dtype) == (("N", 3, "height", "width"), 0, np.float32)
    assert found.fixed is None


def test_a_fixed_first_axis_is_the_size_of_every_batch() -> None:
    found = signature(image_model(2, 3, 8, 8))
    assert found.fixed == 2
    assert found.batch_size({"image": (100, 3, 8, 8)}) == 2


def test_ids_know_the_rows_of_their_table() -> None:
    found = signature(token_model())
    assert [s.rows for s in found] == [ROWS, 0]


def test_the_axis_of_items_need_not_be_the_first() -> None:
    found = signature(two_input_model())
    assert [s.items for s in found] == [0, 1, None]


def test_large_items_make_small_batches() -> None:
    found = signature(image_model("N", 3, "height", "width"))
    assert found.batch_size({"image": (9, 3, 8, 8)}) == 64
    assert 1 < found.batch_size({"image": (9, 3, 224, 224)}) < 16
    assert found.batch_size({"image": (9, 3, 9000, 9000)}) == 1
    tokens = signature(token_model())
    assert tokens.batch_size({"input_ids": (9, 512), "attention_mask": (9, 512)}) < 8


def test_inputs_that_are_no_tensors_of_numbers_are_refused() -> None:
    words = helper.make_tensor_value_info("words", TensorProto.STRING, ["n"])
    model: onnx.ModelProto = image_model()
    model.graph.input.append(words)
    with pytest.raises(CalibrationInputError, match="'words' is no tensor of numbers"):
        signature(model)
