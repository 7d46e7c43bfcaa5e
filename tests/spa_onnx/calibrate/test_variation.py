"""Distances of outputs must not depend on how items are put into batches."""

import numpy as np
import pytest

import spa_onnx
from spa_onnx.calibrate.distortion import variation
from tests.spa_onnx.calibrate.small_models import image_model, pictures


@pytest.mark.parametrize("size", [1, 3, 9])
def test_the_variation_of_outputs_does_not_depend_on_batches(size: int) -> None:
    outputs = np.random.default_rng(0).standard_normal((9, 4)) + 5
    wanted = np.square(outputs - outputs.mean(axis=0)).sum()
    assert variation(np.split(outputs, 9 // size)) == pytest.approx(wanted)


def test_outputs_of_other_shapes_have_means_of_their_own() -> None:
    a, b = np.array([[1.0], [3.0]]), np.array([[1.0, 1.0]])
    assert variation([a, b]) == pytest.approx(2)


@pytest.mark.parametrize("allocation", ["global", "rate-distortion"])
def test_models_of_one_item_are_repaired_and_measured_like_others(allocation: str) -> None:
    reports = []
    for batch in ("batch", 1):
        config = spa_onnx.PruneConfig(
            spa_onnx.KeepFlops(0.5),
            importance="obspa",
            allocation=allocation,
            compensation="ridge",
            calibration=pictures(32),
        )
        report = spa_onnx.prune(image_model(batch, 3, 8, 8), config).report
        assert report.repair is not None
        reports.append(report.repair)
    open_batch, single = reports
    assert single.before == pytest.approx(open_batch.before, rel=0.3)
    assert 0 < single.after < single.before / 2
