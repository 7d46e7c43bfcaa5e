from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import spa_onnx
from spa_onnx.analyse.dims import analyse
from spa_onnx.load.model import load
from spa_onnx.normalise.graph import normalise
from tests.builders import GraphBuilder
from tests.spa_onnx.pruned_models import half, shape
from tests.spa_onnx.untracked import like


def small_model(opset: int = 13, **facts: object) -> onnx.ModelProto:
    """Two convolutions, the weights of the first above the kilobyte that stays in a skeleton."""
    g = GraphBuilder(opset=opset, **facts)  # type: ignore[arg-type]
    x = g.conv(g.input("x", (1, 3, 6, 6)), 16, 3)
    return g.model(g.conv(g.relu(x), 4), source="tests")


def test_a_file_bytes_and_a_message_load_alike(tmp_path: Path) -> None:
    model = small_model()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    arrays = []
    for source in (path, str(path), model, model.SerializeToString()):
        loaded = load(source)
        arrays.append([loaded.weights.array(t) for t in loaded.skeleton.graph.initializer])
        assert loaded.bytes == len(model.SerializeToString())
    for weights in arrays[1:]:
        for a, b in zip(arrays[0], weights, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_message_is_not_changed() -> None:
    model = small_model()
    before = model.SerializeToString()
    half(model)
    assert model.SerializeToString() == before


def test_large_weights_stay_out_of_the_skeleton() -> None:
    loaded = load(small_model())
    assert len(loaded.skeleton.SerializeToString()) < 1500
    assert loaded.skeleton.graph.initializer[0].data_location == TensorProto.EXTERNAL
    assert not loaded.has_external_data


# -- files that are no models ----------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        spa_onnx.ModelFileError, match=r"nothing\.onnx: no such file\. Give the path"
    ):
        load(tmp_path / "nothing.onnx")
    with pytest.raises(spa_onnx.ModelFileError, match="is a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not a readable protobuf"),
        (b"PK\x03\x04 a zip file of weights", "not a readable protobuf"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a readable protobuf"),
        (
            helper.make_tensor("t", 1, [1], [0.5]).SerializeToString(),
            "no ONNX graph|not a readable",
        ),
    ],
)
def test_other_files_are_told_from_models(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(spa_onnx.ModelFileError, match=problem):
        load(path)


def test_a_model_without_graph_is_refused() -> None:
    model = small_model()
    model.ClearField("graph")
    with pytest.raises(spa_onnx.ModelFileError, match="holds no ONNX graph"):
        load(model)


DATA = small_model().SerializeToString()


@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_file_is_refused_at_every_byte(tenth: int) -> None:
    for end in range(tenth, len(DATA), 10):
        try:
            load(DATA[:end])
        except spa_onnx.SpaError as refusal:
            assert str(refusal)  # noqa: PT017
        else:
            # what is cut off after the graph is not missed: metadata, opset imports come behind
            assert onnx.ModelProto.FromString(DATA[:end]).HasField("graph")


BYTES = st.integers(0, 255)


@given(st.lists(st.tuples(st.integers(0, len(DATA) - 1), BYTES), min_size=1, max_size=4))
@settings(max_examples=400)
def test_damaged_bytes_never_surprise(damage: list[tuple[int, int]]) -> None:
    """A damaged model loads, or is refused with an error of ours; so is its analysis."""
    data = bytearray(DATA)
    for at, byte in damage:
        data[at] = byte
    try:
        loaded = load(bytes(data))
    except spa_onnx.SpaError:
        return
    assert loaded.skeleton.HasField("graph")


HEADER = [k for k in range(len(DATA)) if k < 260 or k > len(DATA) - 500]


@given(st.lists(st.tuples(st.sampled_from(HEADER), BYTES), min_size=1, max_size=3))
@settings(max_examples=250)
def test_damaged_structure_never_surprises_the_analysis(damage: list[tuple[int, int]]) -> None:
    data = bytearray(DATA)
    for at, byte in damage:
        data[at] = byte
    try:
        analysis = analyse(normalise(load(bytes(data))), {})
    except spa_onnx.SpaError as refusal:
        assert str(refusal)  # noqa: PT017
    else:
        assert analysis.propagation.graph.nodes is not None


# -- forms of models -------------------------------------------------------------------------------


def test_an_old_opset_is_refused_with_a_remedy() -> None:
    model = small_model()
    model.opset_import[0].version = 6
    with pytest.raises(spa_onnx.GraphError, match=r"opset 6 is older than 7.*version_converter"):
        load(model)


@pytest.mark.parametrize("ir_version", [3, 4, 8])
def test_initializers_may_be_listed_as_inputs(ir_version: int) -> None:
    model = small_model(opset=8, ir_version=ir_version, initializers_as_inputs=True)
    small = half(model)
    assert small.ir_version == ir_version
    listed = {v.name: v for v in small.graph.input}
    for tensor in small.graph.initializer:
        declared = [d.dim_value for d in listed[tensor.name].type.tensor_type.shape.dim]
        assert declared == list(tensor.dims)
    onnx.checker.check_model(small, full_check=True)


def test_functions_are_written_out_and_pruned() -> None:
    g = GraphBuilder(opset=17)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 8, 3)
    y = g.node("Scaled", [x], domain="own")
    like(g, y, x)
    model = g.model(g.conv(y, 3), check=False)
    body = [
        helper.make_node(
            "Constant", [], ["factor"], value=numpy_helper.from_array(np.array(2, np.float32))
        ),
        helper.make_node("Mul", ["a", "factor"], ["b"]),
    ]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Scaled", ["a"], ["b"], body, imports))
    onnx.checker.check_model(model)
    small = half(model)
    assert shape(small, "Conv", index=1) == (3, 4, 1, 1)
    assert not small.functions


def test_weights_in_constant_nodes_are_pruned() -> None:
    g = GraphBuilder(opset=13)
    weights = [g.weight_values(16, 3, 3, 3), g.weight_values(3, 16, 1, 1)]
    names = [g.node("Constant", [], value=numpy_helper.from_array(w)) for w in weights]
    x = g.node("Conv", [g.input("x", (1, 3, 6, 6)), names[0]])
    small = half(g.model(g.node("Conv", [x, names[1]])))
    constants = [n.attribute[0].t for n in small.graph.node if n.op_type == "Constant"]
    assert [list(t.dims) for t in constants] == [[8, 3, 3, 3], [3, 8, 1, 1]]


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_kept(dtype: type[np.floating]) -> None:
    g = GraphBuilder(opset=13, dtype=dtype)
    small = half(g.model(g.gemm(g.relu(g.gemm(g.input("x", (2, 30)), 40)), 3)))
    assert {numpy_helper.to_array(t).dtype for t in small.graph.initializer} == {np.dtype(dtype)}


def test_typed_data_is_read_as_raw_data_is() -> None:
    model = small_model()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(values.reshape(-1).tolist())
    assert shape(half(model), "Conv") == (8, 3, 3, 3)
