"""Attribute `engine` of SparseLinear: another library's kernels for what they can do.

Sessions run on the CPU provider, which has the emulated kernels, and so without a stream.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pytest
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

from spa_onnx.runtime.library import library_path
from spa_onnx.runtime.session import add_operators
from tests.runtime_kernels.cuda.fakes import Fake, compiled, needs_compiler
from tests.runtime_kernels.cuda.given_layer import GivenLayer, linear
from tests.runtime_kernels.cuda.oracle import agrees
from tests.runtime_kernels.cuda.packing import HalfArray, Packing
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels

VARIABLE = "SPA_ONNX_CUSPARSELT"
MULTIPLY, SEARCH = "cusparseLtMatmul", "cusparseLtMatmulSearch"
MOST_PLANS = 64
FATAL = 4

TWO = Packing("two_of_four")

pytestmark = [needs_emulator, needs_compiler, needs_kernels]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    return Fake(compiled("fake_cusparselt.cc", tmp_path_factory.mktemp("cusparselt")))


@pytest.fixture
def fake(library: Fake, monkeypatch: pytest.MonkeyPatch) -> Generator[Fake]:
    monkeypatch.setenv(VARIABLE, str(library.path))
    library.native.FakeReset(1000)
    yield library
    gc.collect()  # sessions
    assert library.alive == 0


def opened(
    layer: GivenLayer, engine: str | None, *, is_between: bool = False
) -> ort.InferenceSession:
    """Return a session of ``y = SparseLinear(x)``, with the layer's bias and residual.

    Args:
        layer: with its tensors.
        engine: the attribute, left out if None.
        is_between: the residual and ``y`` are transposed by nodes before and behind it, so that its
            output may take the residual's place. All shapes are known.
    """
    attributes: dict[str, Any] = {"out_features": len(layer.weight)}
    attributes["activation"] = layer.activation
    if engine is not None:
        attributes["engine"] = engine
    packed = layer.packing.pack(layer.weight)
    stored = [helper.make_tensor("weight", TensorProto.UINT8, [len(packed)], packed, raw=True)]
    inputs, entries = ["x", "weight", "", ""], [entry("x", layer.x, is_between)]
    if layer.bias is not None:
        inputs[2] = "bias"
        stored.append(numpy_helper.from_array(layer.bias, "bias"))
    if layer.residual is not None:
        inputs[3] = "made" if is_between else "residual"
        residual = layer.residual.T if is_between else layer.residual
        entries.append(entry("residual", residual, is_between))
    output = "hidden" if is_between else "y"
    nodes = [helper.make_node("SparseLinear", inputs, [output], domain="ai.spa", **attributes)]
    if is_between:
        nodes.insert(0, helper.make_node("Transpose", ["residual"], ["made"]))
        nodes.append(helper.make_node("Transpose", ["hidden"], ["y"]))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)
    graph = helper.make_graph(nodes, "layer", entries, [y], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    settings = ort.SessionOptions()
    settings.log_severity_level = FATAL
    add_operators(settings, library_path(), cuda_library().path)
    return ort.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])


def entry(name: str, array: HalfArray, is_shape_known: bool) -> ValueInfoProto:
    shape = array.shape if is_shape_known else None
    return helper.make_tensor_value_info(name, TensorProto.FLOAT16, shape)


def run(session: ort.InferenceSession, layer: GivenLayer) -> npt.NDArray[np.float16]:
    feeds = {"x": layer.x}
    if layer.residual is not None:
        feeds["residual"] = layer.residual
    (y,) = session.run(None, feeds)
    return np.asarray(y)


def of_tokens(layer: GivenLayer, tokens: int) -> GivenLayer:
    return replace(layer, x=np.resize(layer.x, (tokens, layer.x.shape[1])))


@pytest.mark.parametrize(("engine", "calls"), [(None, 0), ("own", 0), ("cusparselt", 2)])
def test_the_engine_runs_the_layer(fake: Fake, engine: str | None, calls: int) -> None:
    layer = linear(TWO, 16, 48, 32).with_epilogue("relu")
    session = opened(layer, engine)
    for _ in range(2):
        assert agrees(run(session, layer), layer.expected())
    assert fake.calls(MULTIPLY) == calls
    assert fake.calls(SEARCH) == min(calls, 1)


def test_the_output_may_take_the_place_of_the_residual(fake: Fake) -> None:
    layer = linear(TWO, 16, 48, 32).with_epilogue("relu")
    session = opened(layer, "cusparselt", is_between=True)
    assert layer.residual is not None
    for _ in range(2):
        (y,) = session.run(None, {"x": layer.x, "residual": layer.residual.T})
        assert agrees(np.asarray(y).T, layer.expected())
    assert fake.calls(SEARCH) == 1


def test_without_the_library_our_own_kernels_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (None, "/no/such/library.so"):
        if path is None:
            monkeypatch.delenv(VARIABLE, raising=False)
        else:
            monkeypatch.setenv(VARIABLE, path)
        layer = linear(TWO, 16, 48, 32).with_epilogue("gelu")
        assert agrees(run(opened(layer, "cusparselt"), layer), layer.expected())


def test_our_own_kernels_do_what_the_library_does_not(fake: Fake) -> None:
    others = (linear(TWO, 5, 48, 32), linear(TWO, 8, 40, 32), linear(Packing("tiles"), 8, 48, 32))
    for layer in others:
        assert agrees(run(opened(layer, "cusparselt"), layer), layer.expected())
    assert fake.calls(MULTIPLY) == 0


def test_an_engine_that_is_unknown_is_refused(fake: Fake) -> None:
    with pytest.raises(Exception, match="engine 'cutlass' is unknown, expected own or cusparselt"):
        opened(linear(TWO, 8, 48, 32), "cutlass")
    assert fake.alive == 0


def test_each_number_of_tokens_is_planned_once_until_there_are_many(fake: Fake) -> None:
    layer = linear(TWO, 8, 16, 16).with_epilogue(residual=False)
    session = opened(layer, "cusparselt")
    numbers = [8 * k for k in range(1, MOST_PLANS + 3)]
    for tokens in (*numbers, *reversed(numbers)):
        now = of_tokens(layer, tokens)
        assert agrees(run(session, now), now.expected()), tokens
    assert fake.calls(SEARCH) == MOST_PLANS
    assert fake.calls(MULTIPLY) == 2 * MOST_PLANS


@contextmanager
def recording() -> Generator[None]:
    """Let the emulated device record what this thread starts."""
    record = ctypes.CDLL(str(cuda_library().path)).SpaEmulateRecording
    record(1)
    try:
        yield
    finally:
        record(0)


def test_the_first_run_of_a_number_of_tokens_cannot_be_recorded(fake: Fake) -> None:
    layer = linear(TWO, 8, 48, 32)
    session = opened(layer, "cusparselt")
    run(session, layer)
    with recording():
        run(session, layer)
        with pytest.raises(Exception, match="the first run of 16 tokens cannot be recorded"):
            run(session, of_tokens(layer, 16))
    wide = of_tokens(layer, 16)
    assert agrees(run(session, wide), wide.expected())
    assert fake.calls(SEARCH) == 2
