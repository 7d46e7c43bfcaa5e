import numpy as np
import pytest

from spa_onnx.bench.kernels.forms import Form, forms
from spa_onnx.bench.kernels.shapes import Convolution, Layer, Linear
from spa_onnx.bench.kernels.weights import masked
from spa_onnx.runtime.packing import unpack
from spa_onnx.sparse.pattern import parse_pattern

LAYERS = (Linear(1, 80, 40), Linear(16, 80, 40), Convolution(80, 40, 7), Convolution(40, 40, 7, 3))
PATTERNS = ("unstructured", "2x1", "4x1", "8x1", "16x1", "32x1", "1x16", "2:4", "3x1", "12x2")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_form_packs_the_weight_as_it_is(layer: Layer, pattern: str) -> None:
    found = parse_pattern(pattern)
    weight = masked(layer, found, 0.7, np.random.default_rng(2))
    candidates = forms(layer, found)
    assert len(set(candidates)) == len(candidates) > 0
    for form in candidates:
        np.testing.assert_array_equal(unpack(form.pack(weight)), weight)


def test_half_forms_store_half_the_bytes_of_values() -> None:
    layer, pattern = Linear(1, 80, 40), parse_pattern("unstructured")
    weight = masked(layer, pattern, 0.7, np.random.default_rng(2))
    for full, half in zip(forms(layer, pattern), forms(layer, pattern, half=True), strict=True):
        assert half.half
        assert len(half.pack(weight)) < len(full.pack(weight))
        np.testing.assert_array_equal(
            unpack(half.pack(weight)).astype(np.float32), weight.astype(np.float16)
        )


def test_single_tokens_have_forms_of_their_own() -> None:
    one = Linear(1, 4096, 4096)
    assert forms(one, parse_pattern("1x16")) == [Form("segments")]
    assert forms(one, parse_pattern("2:4")) == [Form("bitmask"), Form()]
    assert forms(one, parse_pattern("16x1")) == [Form(block_rows=16)]


def test_chunks_are_tried_only_where_a_layer_is_longer() -> None:
    assert not any(form.chunk for form in forms(Convolution(16, 16, 7), parse_pattern("4x1")))
    long = forms(Convolution(2048, 512, 7), parse_pattern("4x1"))
    assert {form.tile for form in long} == {4, 5, 6}
    assert all(form.chunk < 2048 for form in long)
    assert any(form.chunk for form in long)


def test_a_form_reads_well() -> None:
    assert str(Form()) == "1x1"
    assert str(Form("bitmask", half=True)) == "bitmask, float16"
    assert str(Form(block_rows=4, chunk=80, tile=6)) == "4x1, chunk 80, tile 6"
