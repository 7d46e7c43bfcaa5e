import numpy as np
import pytest

from spa_onnx.inputs.batches import ArrayBatches, Batches
from tests.spa_onnx.calibrate.small_models import joined, lengths


def test_arrays_are_cut_into_batches_that_can_be_read_again() -> None:
    array = np.arange(14.0).reshape(7, 2)
    batches = ArrayBatches({"image": array}, 3)
    assert isinstance(batches, Batches)
    assert lengths(batches) == [3, 3, 1]
    assert batches.samples == 7
    np.testing.assert_array_equal(joined(batches), array)


def test_whole_batches_leave_out_what_does_not_fill_one() -> None:
    batches = ArrayBatches({"image": np.arange(7.0)}, 3, whole=True)
    assert (batches.samples, lengths(batches)) == (6, [3, 3])


@pytest.mark.parametrize(
    ("whole", "count", "wanted"),
    [(False, 4, [3, 1]), (False, 2, [2]), (True, 4, [3]), (True, 1, [3]), (True, 6, [3, 3])],
)
def test_the_first_items_are_batches_of_the_same_kind(
    whole: bool, count: int, wanted: list[int]
) -> None:
    batches = ArrayBatches({"image": np.arange(9.0)}, 3, whole=whole).first(count)
    assert lengths(batches) == wanted
    np.testing.assert_array_equal(joined(batches), np.arange(sum(wanted)))


def test_items_may_lie_along_another_axis_or_be_shared_by_all_batches() -> None:
    arrays = {"a": np.arange(8.0).reshape(2, 4), "b": np.array(3.0)}
    batches = ArrayBatches(arrays, 3, axes={"a": 1, "b": None})
    assert batches.samples == 4
    assert [(f["a"].shape, f["b"].shape) for f in batches] == [((2, 3), ()), ((2, 1), ())]
    assert [f["a"].shape for f in batches.first(2)] == [(2, 2)]


def test_batches_are_cast_one_by_one() -> None:
    batches = ArrayBatches({"image": np.arange(4.0)}, 2, dtypes={"image": np.dtype(np.float32)})
    assert [f["image"].dtype for f in batches] == [np.float32] * 2
