"""SparseConv may put its output where its residual lies, if nobody else reads that."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from spa_onnx.runtime.packing import pack_blocks
from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.layers.direct import Epilogue, Sweep
from tests.runtime_kernels.layers.oracle import convolution
from tests.runtime_kernels.op_models import random_input, random_weight

pytestmark = needs_kernels

SHAPE = (2, 20, 9, 9)
SWEEPS = {"1x1": Sweep((1, 1)), "3x3": Sweep((3, 3), pads=(1, 1, 1, 1))}


def sparse_conv(name: str, sweep: Sweep, inputs: list[str], output: str) -> NodeProto:
    """Return a node whose weight is called as it is."""
    return helper.make_node(
        "SparseConv", [inputs[0], name, "", *inputs[1:]], [output], name=name, domain="ai.spa",
        kernel_shape=sweep.kernel, strides=sweep.strides, pads=sweep.pads,
        dilations=sweep.dilations, out_channels=SHAPE[1], activation="none",
    )  # fmt: skip


def chain(sweep: Sweep, packed: bytes, *, is_read_again: bool, of_input: bool) -> ModelProto:
    """Return two convolutions, the second of which adds the output of the first, or the input.

    Args:
        sweep: of both.
        packed: the weight of both.
        is_read_again: whether what is added is an operand of the last node, too.
        of_input: whether the model's own input is added.
    """
    added = "x" if of_input else "first"
    nodes = [
        sparse_conv("one", sweep, ["x"], "first"),
        sparse_conv("two", sweep, ["first", added], "second"),
        helper.make_node("Sub", ["second", added], ["y"])
        if is_read_again
        else helper.make_node("Neg", ["second"], ["y"]),
    ]
    stored = [
        helper.make_tensor(name, TensorProto.UINT8, [len(packed)], packed, raw=True)
        for name in ("one", "two")
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS.keys())
@pytest.mark.parametrize("block_rows", [1, 4, 32])
@pytest.mark.parametrize("is_read_again", [False, True])
@pytest.mark.parametrize("of_input", [False, True])
def test_what_is_added_stays_for_whoever_reads_it(
    sweep: Sweep, block_rows: int, is_read_again: bool, of_input: bool
) -> None:
    weight, x = random_weight(SHAPE[1], SHAPE[1], *sweep.kernel), random_input(*SHAPE)
    packed = pack_blocks(weight.reshape(SHAPE[1], -1), block_rows, 7)
    model = chain(sweep, packed, is_read_again=is_read_again, of_input=of_input)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    opened = session(model.SerializeToString(), sess_options=options)
    given = x.copy()
    for _ in range(3):  # from the second run on memory is planned ahead
        y = np.asarray(opened.run(None, {"x": given})[0])
        np.testing.assert_array_equal(given, x)
        first = convolution(weight, x, sweep, Epilogue()).exact.astype(np.float32)
        added = x if of_input else first
        second = convolution(weight, first, sweep, Epilogue(residual=added)).exact
        expected = second - added if is_read_again else -second
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
