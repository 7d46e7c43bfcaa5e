from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from spa_onnx.runtime.packed_header import PackedWeightError
from spa_onnx.runtime.packing import unpack_csr
from spa_onnx.runtime.session import session
from tests.runtime_kernels.broken_weights import BROKEN, PACKED, WEIGHT, Broken, with_checksum
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.sparse_linear_model import (
    open_quietly,
    random_input,
    random_weight,
    sparse_linear_model,
)

pytestmark = needs_kernels


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "shape", [(50,), (1, 50), (3, 50), (128, 50), (2, 3, 50), (2, 2, 40, 50), (0, 50)]
)
def test_any_rank_equals_numpy(shape: tuple[int, ...], threads: int) -> None:
    weight, x = random_weight(300, 50), random_input(*shape)
    bias = random_input(300)
    model = sparse_linear_model(weight, bias, input_shape=None)
    (y,) = open_quietly(model, threads=threads).run(None, {"x": x})
    assert y.shape == (*shape[:-1], 300)
    np.testing.assert_allclose(y, x @ weight.T + bias, rtol=1e-4, atol=1e-5)


def test_many_tasks_on_two_threads_equal_one_thread() -> None:
    weight, x = random_weight(700, 200), random_input(333, 200)
    model = sparse_linear_model(weight)
    one, two = (open_quietly(model, threads=n).run(None, {"x": x})[0] for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, x @ weight.T, rtol=1e-4, atol=1e-4)


def test_one_session_takes_batches_of_any_size() -> None:
    weight = random_weight(33, 20)
    opened = open_quietly(sparse_linear_model(weight, input_shape=("batch", 20)))
    for batch in (1, 65, 2, 16):
        x = random_input(batch, 20)
        (y,) = opened.run(None, {"x": x})
        np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)


def test_bias_may_be_left_empty() -> None:
    weight, x = random_weight(5, 20), random_input(4, 20)
    model = sparse_linear_model(weight)
    model.graph.node[0].input.append("")
    (y,) = open_quietly(model).run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("declared", "inferred"),
    [
        (("batch", "time", 20), ["batch", "time", 5]),
        ((2, "time", 20), [2, "time", 5]),
        ((20,), [5]),
        ((None, 20), []),  # a nameless length cannot be passed on
        (None, []),
    ],
)
def test_output_shape_is_inferred_with_the_names_of_symbolic_axes(
    declared: tuple[int | str | None, ...] | None, inferred: list[int | str]
) -> None:
    opened = open_quietly(sparse_linear_model(random_weight(5, 20), input_shape=declared))
    assert opened.get_outputs()[0].shape == inferred


def test_x_with_another_last_axis_is_refused() -> None:
    opened = open_quietly(sparse_linear_model(random_weight(5, 20)))
    text = r"ai.spa::SparseLinear 'fc1': X has shape \(4, 19\), the weight has shape \(5, 20\)"
    with pytest.raises(Exception, match=text):
        opened.run(None, {"x": random_input(4, 19)})


def test_scalar_x_is_refused() -> None:
    opened = open_quietly(sparse_linear_model(random_weight(5, 20), input_shape=None))
    with pytest.raises(Exception, match=r"SparseLinear 'fc1': X has shape \(\)"):
        opened.run(None, {"x": np.array(1, np.float32)})


def test_bias_of_another_length_is_refused() -> None:
    opened = open_quietly(sparse_linear_model(random_weight(5, 20), random_input(4)))
    with pytest.raises(Exception, match=r"'fc1': bias has shape \(4\), expected \(5\)"):
        opened.run(None, {"x": random_input(4, 20)})


def test_out_features_must_be_the_rows() -> None:
    model = sparse_linear_model(random_weight(5, 20), out_features=6)
    with pytest.raises(Exception, match="out_features is 6, but the packed weight has 5 rows"):
        open_quietly(model)


def test_out_features_must_be_there() -> None:
    model = sparse_linear_model(random_weight(5, 20))
    del model.graph.node[0].attribute[:]
    with pytest.raises(Exception, match="'fc1': the int attribute out_features is missing"):
        open_quietly(model)


def test_weight_must_be_constant() -> None:
    model = sparse_linear_model(random_weight(5, 20))
    weight = model.graph.initializer.pop()
    entry = model.graph.input.add(name=weight.name)
    entry.type.tensor_type.elem_type = weight.data_type
    with pytest.raises(Exception, match="input 1, the packed weight, must be a constant"):
        open_quietly(model)


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_weight_is_refused_with_its_problem(broken: Broken) -> None:
    model = sparse_linear_model(WEIGHT, packed=broken.packed)
    text = "ai.spa::SparseLinear 'fc1': packed weight: .*" + re.escape(broken.text)
    with pytest.raises(Exception, match=text):
        open_quietly(model)


# All but the upper bytes of rows and columns, lest the dense matrix fill the memory.
HARMLESS = [offset for offset in range(len(PACKED)) if offset not in {9, 10, 11, 13, 14, 15}]


@given(
    edits=st.dictionaries(st.sampled_from(HARMLESS), st.integers(0, 255), max_size=3),
    length=st.integers(0, len(PACKED)) | st.just(len(PACKED)),
)
def test_both_readers_accept_the_same_bytes(edits: dict[int, int], length: int) -> None:
    changed = bytearray(PACKED)
    for offset, byte in edits.items():
        changed[offset] = byte
    packed = with_checksum(bytes(changed[:length]))
    try:
        weight = unpack_csr(packed)
    except PackedWeightError:
        with pytest.raises(Exception, match="'fc1': packed weight: "):
            open_quietly(sparse_linear_model(WEIGHT, packed=packed))
        return
    x = np.eye(weight.shape[1], dtype=np.float32)
    opened = open_quietly(sparse_linear_model(weight, packed=packed))
    np.testing.assert_array_equal(opened.run(None, {"x": x})[0], weight.T)


def test_a_weight_in_an_external_file_may_lie_at_any_offset(tmp_path: Path) -> None:
    weight, x = random_weight(40, 30), random_input(20, 30)
    model = sparse_linear_model(weight, input_shape=("batch", 30))
    stored = model.graph.initializer[0]
    (tmp_path / "weight.bin").write_bytes(b"\0" * 4097 + stored.raw_data)
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weight.bin"), ("offset", "4097")):
        stored.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    opened: Any = session(path)
    (y,) = opened.run(None, {"x": x})
    np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)
