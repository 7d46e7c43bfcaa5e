import os
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import spa_onnx
from spa_onnx.errors import ProofFailedError
from tests.builders import GraphBuilder

LINE, PAGE, LARGE = 64, 4096, 1 << 20


PLAIN = spa_onnx.PruneConfig(importance="l2")


def network(width: int = 32) -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", (1, 3, 6, 6)), width, 3)
    return g.model(g.conv(g.relu(x), 3))


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A model whose weights are inside its file."""
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(network().SerializeToString())
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A model whose weights lie in another file, one of them above a megabyte."""
    path = tmp_path / "out" / "model.onnx"
    path.parent.mkdir()
    g = GraphBuilder(opset=13)
    x = g.gemm(g.relu(g.gemm(g.input("x", (1, 600)), 1000)), 7)
    onnx.save_model(
        g.model(x), str(path), save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def arrays(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_a_file_holds_what_a_result_in_memory_does(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    target = tmp_path / "pruned.onnx"
    result = spa_onnx.prune(path, PLAIN, output=target)
    in_memory = spa_onnx.prune(path, PLAIN).model
    assert result.path == target
    written = arrays(onnx.load(str(target)))
    assert written.keys() == arrays(in_memory).keys()
    for name, array in arrays(in_memory).items():
        np.testing.assert_array_equal(written[name], array)
    onnx.checker.check_model(str(target), full_check=True)


def test_weights_stay_inside_where_they_were(inside: Path, tmp_path: Path) -> None:
    spa_onnx.prune(inside, PLAIN, output=tmp_path / "pruned.onnx")
    assert {p.name for p in tmp_path.iterdir()} == {"in", "pruned.onnx"}


def test_external_weights_are_aligned_and_do_not_overlap(outside: Path, tmp_path: Path) -> None:
    target = tmp_path / "pruned.onnx"
    spa_onnx.prune(outside, spa_onnx.PruneConfig(spa_onnx.Ratio(0.3), "l2"), output=target)
    data = (tmp_path / "pruned.onnx.data").read_bytes()
    end = 0
    for tensor in onnx.load(str(target), load_external_data=False).graph.initializer:
        entries = {e.key: e.value for e in tensor.external_data}
        if not entries:
            assert len(tensor.raw_data) <= 1024
            continue
        offset, length = int(entries["offset"]), int(entries["length"])
        assert entries["location"] == "pruned.onnx.data"
        assert offset % (PAGE if length >= LARGE else LINE) == 0
        assert offset >= end
        end = offset + length
    assert end == len(data)
    assert end > LARGE


def test_a_pruned_external_model_is_pruned_again(outside: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    spa_onnx.prune(outside, PLAIN, output=first)
    result = spa_onnx.prune(first, PLAIN, output=second)
    assert result.report.after.parameters < result.report.before.parameters
    assert result.report.proof is not None


@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_the_input_is_not_touched(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    before = files(path.parent)
    spa_onnx.prune(path, PLAIN, output=tmp_path / "pruned.onnx")
    assert files(path.parent) == before


# -- failures --------------------------------------------------------------------------------------


@pytest.fixture
def failing_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that fails."""
    from spa_onnx.prove import proof

    def fail(*_: object) -> None:
        raise ProofFailedError("y", 1.0, 1e-4, "Conv 'c'")

    monkeypatch.setattr(proof, "prove", fail)


@pytest.mark.usefixtures("failing_proof")
@pytest.mark.parametrize("kind", ["inside", "outside"])
def test_nothing_is_written_when_the_proof_fails(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "pruned.onnx").write_bytes(b"an older result")
    with pytest.raises(ProofFailedError):
        spa_onnx.prune(path, PLAIN, output=folder / "pruned.onnx")
    assert files(folder) == {"pruned.onnx": b"an older result"}


def test_a_missing_folder_is_named(inside: Path, tmp_path: Path) -> None:
    with pytest.raises(spa_onnx.SpaError, match=r"nowhere"):
        spa_onnx.prune(inside, PLAIN, output=tmp_path / "nowhere" / "pruned.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(inside: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(spa_onnx.ModelFileError, match="cannot be written"):
        spa_onnx.prune(inside, PLAIN, output=folder / "pruned.onnx")


def test_the_input_is_never_the_output(inside: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.onnx"
    link.symlink_to(inside)
    for target in (inside, link, inside.parent / ".." / "in" / "model.onnx"):
        with pytest.raises(
            spa_onnx.SamePathError, match="is the input model; give -o another path"
        ):
            spa_onnx.prune(inside, PLAIN, output=target)


def test_weights_of_the_input_are_never_overwritten(outside: Path) -> None:
    data = outside.parent / "weights.bin"
    renamed = outside.parent / "small.onnx.data"
    data.rename(renamed)
    model = onnx.load(str(outside), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = renamed.name
    outside.write_bytes(model.SerializeToString())
    before = files(outside.parent)
    with pytest.raises(spa_onnx.UsageError, match="would overwrite the input model's weights"):
        spa_onnx.prune(outside, PLAIN, output=outside.parent / "small.onnx")
    assert files(outside.parent) == before


def test_an_older_result_is_replaced_and_rights_follow_the_umask(
    inside: Path, tmp_path: Path
) -> None:
    target = tmp_path / "pruned.onnx"
    target.write_bytes(b"old")
    old = os.umask(0o027)
    try:
        spa_onnx.prune(inside, PLAIN, output=target)
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert onnx.load(str(target)).graph.node


def test_a_result_in_memory_can_be_saved(tmp_path: Path) -> None:
    result = spa_onnx.prune(network(), PLAIN)
    result.save(tmp_path / "pruned.onnx")
    assert onnx.load(str(tmp_path / "pruned.onnx")) == result.model
    assert {p.name for p in tmp_path.iterdir()} == {"pruned.onnx"}
