"""Operators of the library for CUDA inside ONNX Runtime: on the CPU provider if it is emulated."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from ml_dtypes import bfloat16
from onnx import ModelProto, helper, numpy_helper

from spa_onnx.runtime.library import cuda_library_path, library_path
from spa_onnx.runtime.packing import (
    pack_bitmask,
    pack_blocks,
    pack_tiles,
    pack_two_of_four,
)
from spa_onnx.runtime.session import session
from tests.runtime_kernels.cuda_library import needs_emulator
from tests.runtime_kernels.op_models import quiet_options

pytestmark = needs_emulator

Array = npt.NDArray[Any]

ROWS, COLUMNS = 40, 48
CONVOLUTION: dict[str, Any] = {
    "out_channels": ROWS,
    "kernel_shape": [1, 1],
    "strides": [2, 1],
    "pads": [0, 0, 0, 0],
    "dilations": [1, 1],
}
TOLERANCE = {np.dtype(np.float16): 2.0**-9, np.dtype(bfloat16): 2.0**-6}
"""Shares of the largest output: four roundings of the type."""


@dataclass(frozen=True)
class Node:
    """A node of 16 bits, the inputs of its model, and what it makes of them."""

    op: str
    weight: Array
    packed: bytes
    dtype: np.dtype[Any]
    attributes: dict[str, Any]
    bias: Array | None = None
    is_constant: bool = True

    def model(self, *, has_residual: bool = False) -> ModelProto:
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        entries = [helper.make_tensor_value_info("x", kind, None)]
        stored = []
        names = ["x", "w", "", "r" if has_residual else ""]
        if has_residual:
            entries.append(helper.make_tensor_value_info("r", kind, None))
        if self.bias is not None:
            names[2] = "b"
            stored.append(numpy_helper.from_array(self.bias, "b"))
        packed = np.frombuffer(self.packed, np.uint8)
        if self.is_constant:
            stored.append(numpy_helper.from_array(packed, "w"))
        else:
            entries.append(helper.make_tensor_value_info("w", 2, [len(packed)]))
        while not names[-1]:
            names.pop()
        node = helper.make_node(
            self.op, names, ["y"], name="layer7", domain="ai.spa", **self.attributes
        )
        result = helper.make_tensor_value_info("y", kind, None)
        graph = helper.make_graph([node], "one layer", entries, [result], stored)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def open(self, *, has_residual: bool = False) -> Any:
        model = self.model(has_residual=has_residual).SerializeToString()
        return session(model, sess_options=quiet_options())


def numbers(dtype: Any, *shape: int) -> Array:
    return np.random.default_rng(shape).standard_normal(shape, np.float32).astype(dtype)


def weight_for(form: str, dtype: Any) -> tuple[Array, bytes]:
    weight = numbers(dtype, ROWS, COLUMNS)
    if form == "tiles":
        weight[:32, 16:32] = 0
        return weight, pack_tiles(weight, 32, 16, dtype)
    if form == "2:4":
        weight.reshape(ROWS, -1, 4)[:, :, ::2] = 0
        return weight, pack_two_of_four(weight, dtype)
    weight[:, ::3] = 0
    return weight, pack_bitmask(weight, dtype)


def linear(form: str = "tiles", dtype: Any = np.float16, **attributes: Any) -> Node:
    weight, packed = weight_for(form, dtype)
    given = {"out_features": ROWS, **attributes}
    return Node("SparseLinear", weight, packed, np.dtype(dtype), given, numbers(dtype, ROWS))


def convolution(form: str = "tiles", dtype: Any = np.float16, **attributes: Any) -> Node:
    weight, packed = weight_for(form, dtype)
    given = CONVOLUTION | attributes
    return Node("SparseConv", weight, packed, np.dtype(dtype), given, numbers(dtype, ROWS))


def run(node: Node, feeds: dict[str, Array]) -> Array:
    """Return what a session makes; bfloat16 does not cross numpy, so it goes by OrtValue."""
    if node.dtype == bfloat16 and not hasattr(
        onnxruntime.OrtValue, "ortvalue_from_numpy_with_onnx_type"
    ):
        pytest.skip("this runtime's Python has no bfloat16")
    opened = node.open(has_residual="r" in feeds)
    kind = helper.np_dtype_to_tensor_dtype(node.dtype)
    values = {
        name: onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(np.uint16), kind)
        if node.dtype == bfloat16
        else onnxruntime.OrtValue.ortvalue_from_numpy(array)
        for name, array in feeds.items()
    }
    binding = opened.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("y")
    opened.run_with_iobinding(binding)
    (result,) = binding.get_outputs()
    if node.dtype != bfloat16:
        return result.numpy()
    size = int(np.prod(result.shape()))
    held = (ctypes.c_uint16 * size).from_address(result.data_ptr())
    return np.array(held, np.uint16).view(bfloat16).reshape(result.shape())


def assert_near(found: Array, expected: Array, dtype: np.dtype[Any]) -> None:
    off = np.abs(found.astype(np.float64) - expected).max()
    assert off <= TOLERANCE[dtype] * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [np.float16, bfloat16])
@pytest.mark.parametrize("form", ["tiles", "2:4", "bit mask"])
@pytest.mark.parametrize("tokens", [(), (3,), (2, 35)])
def test_a_linear_node_computes_its_layer(form: str, dtype: Any, tokens: tuple[int, ...]) -> None:
    node = linear(form, dtype, activation="relu")
    assert node.bias is not None
    x, residual = numbers(dtype, *tokens, COLUMNS), numbers(dtype, *tokens, ROWS)
    found = run(node, {"x": x, "r": residual})
    wide = [a.astype(np.float64) for a in (x, node.weight, node.bias, residual)]
    assert_near(found, np.maximum(wide[0] @ wide[1].T + wide[2] + wide[3], 0), node.dtype)


@pytest.mark.parametrize("dtype", [np.float16, bfloat16])
@pytest.mark.parametrize("form", ["tiles", "2:4"])
def test_a_convolution_node_computes_its_layer(form: str, dtype: Any) -> None:
    node = convolution(form, dtype)
    assert node.bias is not None
    x = numbers(dtype, 2, COLUMNS, 5, 8)
    found = run(node, {"x": x})
    wide = x.astype(np.float64)[:, :, ::2]
    expected = np.einsum("rc,nchw->nrhw", node.weight.astype(np.float64), wide)
    expected += node.bias.astype(np.float64)[:, None, None]
    assert found.shape == (2, ROWS, 3, 8)
    assert_near(found, expected, node.dtype)


@pytest.mark.parametrize("shape", [(0, COLUMNS), (3, 0, COLUMNS)])
def test_no_tokens_make_no_outputs(shape: tuple[int, ...]) -> None:
    found = run(linear(), {"x": np.zeros(shape, np.float16)})
    assert found.shape == (*shape[:-1], ROWS)


def test_nodes_for_the_cpu_are_in_the_same_domain() -> None:
    node = linear()
    weight = node.weight.astype(np.float32)
    other = Node("SparseLinear", weight, pack_blocks(weight, 1), np.dtype(np.float32),
                 {"out_features": ROWS})  # fmt: skip
    x = numbers(np.float32, 3, COLUMNS)
    np.testing.assert_allclose(run(other, {"x": x}), x @ weight.T, rtol=1e-5, atol=1e-5)


def refused(node: Node) -> Any:
    return pytest.raises(Exception, match=f"ai.spa::{node.op} 'layer7': ")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (linear(out_features=ROWS + 1), "attribute out_features is 41, but the packed weight has"),
        (linear(activation="swish"), "activation 'swish' is none of"),
        (linear(engine="fastest"), "fastest"),
        (
            convolution(kernel_shape=[3, 3]),
            "kernel_shape is (3, 3), on a GPU it can only be (1, 1)",
        ),
        (convolution(pads=[0, 0, 0, 1]), "pads is (0, 0, 0, 1), on a GPU it can only be (0, 0, 0"),
        (convolution(dilations=[1, 2]), "dilations is (1, 2), on a GPU it can only be (1, 1)"),
        (convolution(strides=[0, 1]), "strides is (0, 1), expected 2 numbers from 1 to 32768"),
        (convolution(out_channels=3), "attribute out_channels is 3, but the packed weight has 40"),
    ],
)
def test_attributes_that_make_no_sense_are_refused(node: Node, text: str) -> None:
    with refused(node) as caught:
        node.open()
    assert text in str(caught.value)


def test_weights_of_another_type_or_for_the_cpu_are_refused() -> None:
    base = linear()
    for packed, text in (
        (weight_for("tiles", bfloat16)[1], "the values of the packed weight are not of X's type"),
        (pack_blocks(base.weight, 1, value_type=np.float16), "is for the CPU; lower the model"),
        (base.packed[:-1], "total size is"),
    ):
        node = Node("SparseLinear", base.weight, packed, base.dtype, base.attributes)
        with refused(node) as caught:
            node.open()
        assert text in str(caught.value)


def test_a_weight_that_is_fed_is_refused() -> None:
    base = linear()
    node = Node("SparseLinear", base.weight, base.packed, base.dtype, base.attributes,
                is_constant=False)  # fmt: skip
    with refused(node) as caught:
        node.open()
    assert "must be a constant initializer" in str(caught.value)


@pytest.mark.parametrize(
    ("node", "feeds", "text"),
    [
        (linear(), {"x": (3, COLUMNS + 1)}, "so the last axis of X must have length 48"),
        (linear(), {"x": (3, COLUMNS), "r": (3, ROWS - 1)}, "residual has shape (3, 39), expected"),
        (convolution(), {"x": (1, 47, 4, 4)}, "expected (N, 48, H, W)"),
        (convolution(), {"x": (COLUMNS, 4, 4)}, "expected (N, 48, H, W)"),
        (convolution("bit mask"), {"x": (1, COLUMNS, 4, 4)}, "convolutions need tiles or a 2:4"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    node: Node, feeds: dict[str, tuple[int, ...]], text: str
) -> None:
    with refused(node) as caught:
        run(node, {name: np.zeros(shape, np.float16) for name, shape in feeds.items()})
    assert text in str(caught.value)


def registered(cuda_library: Path) -> None:
    options = quiet_options()
    options.add_session_config_entry("ai.spa.cuda_library", str(cuda_library))
    options.register_custom_ops_library(str(library_path()))


def test_a_library_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"the library for CUDA cannot be loaded: .*gone\.so"):
        registered(tmp_path / "gone.so")
    registered(cuda_library_path())  # nothing is left of the attempt


def test_a_library_of_someone_else_is_refused() -> None:
    loaded = next(
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text().splitlines()
        if re.search(r"libm[.-].*so", line)
    )
    with pytest.raises(Exception, match="exports no SpaCudaVersion"):
        registered(Path(loaded))
