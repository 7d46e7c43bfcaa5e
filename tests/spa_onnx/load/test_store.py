import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import spa_onnx
from spa_onnx.load import source
from spa_onnx.load.model import load
from spa_onnx.load.store import WeightStore
from spa_onnx.rewrite.payload import refer
from tests.builders import GraphBuilder

Entries = dict[str, str | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``model.onnx`` and ``weights.bin``."""
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), 16, 3)
    model = g.model(g.conv(x, 4))
    target = tmp_path / "inside"
    target.mkdir()
    onnx.save_model(
        model,
        str(target / "model.onnx"),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return target


def change(folder: Path, **entries: str | None) -> Path:
    """Change or remove entries of the first tensor's reference; return the model's path."""
    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    tensor = model.graph.initializer[0]
    found = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in found.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(("odd", "pieces"), [(0, 1), (1, 1), (5, 3), (None, 3)])
def test_a_weight_is_told_from_a_constant_by_its_first_piece(
    odd: int | None, pieces: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three pieces of two numbers; one number may differ."""
    monkeypatch.setattr(source, "CHUNK", 8)
    array = np.full(6, 2, np.float32)
    if odd is not None:
        array[odd] = 7
    array.tofile(tmp_path / "w.bin")
    tensor = TensorProto(name="w", dims=[6], data_type=TensorProto.FLOAT)
    refer(tensor, "w.bin", 0, 24)
    store = WeightStore(tmp_path)
    read: list[int] = []
    file = store.place(tensor).source
    plain = file.read_into

    def read_into(offset: int, target: np.ndarray) -> None:
        read.append(offset)
        plain(offset, target)

    monkeypatch.setattr(file, "read_into", read_into)
    assert store.is_uniform(tensor) == (odd is None)
    assert len(read) == pieces


def test_external_weights_are_read(folder: Path) -> None:
    loaded = load(folder / "model.onnx")
    whole = onnx.load(str(folder / "model.onnx"))
    assert loaded.has_external_data
    assert loaded.bytes == sum(f.stat().st_size for f in folder.iterdir())
    for ours, theirs in zip(
        loaded.skeleton.graph.initializer, whole.graph.initializer, strict=True
    ):
        array = loaded.weights.array(ours)
        np.testing.assert_array_equal(array, numpy_helper.to_array(theirs))


def test_a_subfolder_belongs_to_the_model(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "weights.bin").rename(folder / "data" / "weights.bin")
    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "data/weights.bin"
    path.write_bytes(model.SerializeToString())
    result = spa_onnx.prune(path, output=folder.parent / "out.onnx")
    assert result.report.proof is not None


def test_offset_and_length_may_be_left_out(folder: Path) -> None:
    path = change(folder, offset=None, length=None)
    assert load(path).skeleton.graph.initializer


def test_missing_data_is_named(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    with pytest.raises(
        spa_onnx.ExternalDataError, match=r"tensor '\w+': external data 'weights\.bin' is missing"
    ):
        load(folder / "model.onnx")


def test_short_data_is_told_from_the_file_and_the_tensor(folder: Path) -> None:
    data = folder / "weights.bin"
    os.truncate(data, 100)
    with pytest.raises(spa_onnx.ExternalDataError, match=r"ends at byte 100, the tensor at 1728"):
        load(folder / "model.onnx")


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({"length": "1727"}, r"has 1727 bytes where shape \[16, 3, 3, 3\] needs 1728"),
        ({"length": "0"}, "has 0 bytes"),
        ({"offset": "999999"}, "ends at byte .*truncated"),
        ({"offset": "-4"}, "ends at byte"),
        ({"offset": "many"}, "offset or length that is no number"),
        ({"length": "1e9"}, "offset or length that is no number"),
    ],
)
def test_wrong_places_are_refused(entries: dict[str, str], problem: str, folder: Path) -> None:
    with pytest.raises(spa_onnx.ExternalDataError, match=problem):
        load(change(folder, **entries))


@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "sub/../../secret.bin",
        "..",
        "",
        ".",
        "/etc/passwd",
        "C:\\secret.bin",
        "C:secret.bin",
        "\\\\server\\share\\secret.bin",
        "..\\secret.bin",
    ],
)
def test_no_way_leads_out_of_the_models_folder(location: str, folder: Path) -> None:
    (folder.parent / "secret.bin").write_bytes(bytes(4096))
    with pytest.raises(spa_onnx.ExternalDataError, match=r"lies outside|is missing"):
        load(change(folder, location=location, offset="0"))


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "secret.bin").write_bytes(bytes(4096))
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to(folder.parent / "secret.bin")
    with pytest.raises(spa_onnx.ExternalDataError, match="lies outside the model's folder"):
        load(folder / "model.onnx")


def test_a_linked_folder_out_of_the_folder_is_refused(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (folder / "weights.bin").rename(outside / "weights.bin")
    (folder / "data").symlink_to(outside)
    with pytest.raises(spa_onnx.ExternalDataError, match="lies outside the model's folder"):
        load(change(folder, location="data/weights.bin"))


def test_a_link_inside_the_folder_is_followed(folder: Path) -> None:
    (folder / "weights.bin").rename(folder / "real.bin")
    (folder / "weights.bin").symlink_to(folder / "real.bin")
    assert load(folder / "model.onnx").has_external_data


def test_a_model_opened_through_a_link_finds_its_weights_beside_the_link(folder: Path) -> None:
    link = folder / "link.onnx"
    link.symlink_to(folder / "model.onnx")
    assert load(link).has_external_data


def test_a_folder_is_no_data_file(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").mkdir()
    with pytest.raises(spa_onnx.ExternalDataError, match="is missing"):
        load(folder / "model.onnx")


def test_a_message_in_memory_has_no_folder(folder: Path) -> None:
    model = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    with pytest.raises(spa_onnx.ExternalDataError, match="Give the path of the model"):
        load(model)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda t: t.dims.__setitem__(0, -16), r"shape \[-16, 3, 3, 3\]"),
        (lambda t: setattr(t, "data_type", 999), "element type 999, unknown"),
        (lambda t: t.dims.__setitem__(0, 2**40), r"needs \d+"),
    ],
)
def test_shapes_and_types_without_a_size_are_refused(
    damage: Callable[[TensorProto], None], problem: str, folder: Path
) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path), load_external_data=False)
    damage(model.graph.initializer[0])
    path.write_bytes(model.SerializeToString())
    with pytest.raises(spa_onnx.ModelError, match=problem):
        load(path)


@pytest.mark.parametrize("element", ["INT4", "UINT4", "BFLOAT16", "FLOAT8E4M3FN", "INT8", "BOOL"])
def test_every_element_type_has_its_number_of_bytes(element: str) -> None:
    kind = getattr(TensorProto, element)
    tensor = helper.make_tensor("t", kind, [5, 700], np.ones((5, 700)).reshape(-1).tolist())
    raw = numpy_helper.to_array(tensor)
    tensor = numpy_helper.from_array(raw, "t")
    graph = helper.make_graph([], "g", [], [], [tensor])
    loaded = load(helper.make_model(graph))
    (found,) = loaded.skeleton.graph.initializer
    assert found.data_location == TensorProto.EXTERNAL
    np.testing.assert_array_equal(loaded.weights.array(found), raw)
