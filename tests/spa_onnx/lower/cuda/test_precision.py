from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import onnxruntime.transformers.float16 as converter
import pytest
from onnx import TensorProto, numpy_helper

from spa_onnx.load.model import load
from spa_onnx.lower.cuda.errors import ConversionError
from spa_onnx.lower.cuda.precision import to_float16
from tests.builders import GraphBuilder
from tests.spa_onnx.lower.models import MODELS, Array, built, feeds_of, linear


def run(model: onnx.ModelProto, feeds: Any) -> list[Array]:
    outputs: Any = ort.InferenceSession(model.SerializeToString()).run(None, feeds)
    return list(outputs)


@pytest.mark.parametrize("name", MODELS)
def test_a_converted_model_keeps_inputs_outputs_and_zeros(name: str, tmp_path: Path) -> None:
    model = built(MODELS[name])
    made = to_float16(load(model), tmp_path)
    assert made.clipped == 0
    path = made.loaded.path
    assert path is not None
    half = onnx.load(str(path))
    onnx.checker.check_model(half, full_check=True)
    for before, after in ((model.graph.input, half.graph.input), (model.graph.output,) * 2):
        assert [v.type for v in before] == [v.type for v in after]
    weights = [numpy_helper.to_array(t) for t in half.graph.initializer if len(t.dims) > 1]
    assert {w.dtype for w in weights} == {np.dtype(np.float16)}
    before = {numpy_helper.to_array(t).shape: t for t in model.graph.initializer}
    for w in weights:
        assert np.count_nonzero(w) == np.count_nonzero(numpy_helper.to_array(before[w.shape]))
    feeds = feeds_of(model)
    for a, b in zip(run(half, feeds), run(model, feeds), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * 2.0**-11 * np.abs(b).max())


def test_numbers_beyond_float16_are_counted(tmp_path: Path) -> None:
    g = GraphBuilder()
    large = g.constant(np.array([1e5, -7e4, np.inf, 1.0], np.float32))
    model = g.model(g.add(linear(g, g.input("x", (2, 8)), 4), large))
    made = to_float16(load(model), tmp_path)
    assert made.clipped == 2
    assert made.loaded.path is not None
    stored = [numpy_helper.to_array(t) for t in onnx.load(str(made.loaded.path)).graph.initializer]
    clipped = next(a for a in stored if a.shape == (4,))
    np.testing.assert_array_equal(clipped, np.array([65504, -65504, np.inf, 1], np.float16))


def test_weights_in_other_files_are_converted(tmp_path: Path) -> None:
    g = GraphBuilder()
    model = g.model(linear(g, g.input("x", (2, 64)), 64))
    dense = numpy_helper.to_array(model.graph.initializer[0])
    path = tmp_path / "outside.onnx"
    onnx.save_model(model, str(path), save_as_external_data=True, size_threshold=0, location="w")
    folder = tmp_path / "made"
    folder.mkdir()
    made = to_float16(load(path), folder)
    (weight,) = (t for t in made.loaded.skeleton.graph.initializer if len(t.dims) == 2)
    assert weight.data_type == TensorProto.FLOAT16
    np.testing.assert_array_equal(made.loaded.weights.array(weight), dense.astype(np.float16))


def test_what_the_converter_does_not_know_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(converter, "convert_float_to_float16", fails)
    with pytest.raises(ConversionError, match=r"converter cannot make a float16 .* AssertionError"):
        to_float16(load(built(MODELS["gemm"])), tmp_path)
