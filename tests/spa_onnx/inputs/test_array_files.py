import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spa_onnx.errors import CalibrationFileError
from spa_onnx.inputs import array_files
from spa_onnx.inputs.array_files import read_npy, read_npz


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def described(shape: object, descr: object = "<f4") -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_npy_file_is_mapped(tmp_path: Path, order: Any) -> None:
    array = np.asarray(np.arange(24.0).reshape(2, 3, 4), order=order)
    np.save(tmp_path / "a.npy", array)
    found = read_npy(tmp_path / "a.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_of_an_npz_file_are_mapped_packed_or_not(tmp_path: Path, write: Any) -> None:
    arrays = {"image": np.arange(6.0).reshape(2, 3), "größe": np.array(7), "none": np.zeros((0, 2))}
    write(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == arrays.keys()
    assert isinstance(found["image"], np.memmap)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


HOSTILE = [
    (b"", "no .npy file"),
    (b"\x93NUM", "no .npy file"),
    (b"no array at all", "no .npy file"),
    (npy(described((1 << 60, 1 << 60))), r"should hold \d+ bytes"),
    (npy(described((3,)), b"\0" * 8), "should hold 12 bytes of shape .3,., but there are 8"),
    (npy(described((-1, -3)), b"\0" * 12), "impossible shape"),
    (npy(described((2,), "|O"), pickle.dumps([1, 2])), "pickled objects"),
    (npy(described((2,), "<U3")), "<U3, no numbers"),
    (npy(described((2,), [("a", "<f4")])), "no numbers"),
    (npy(described((2,), "V99999999999999")), "no .npy file"),
    (npy("{"), "no .npy file"),
    (npy("-" * 9000 + "1"), "no .npy file"),
    (npy("(" * 9000), "no .npy file"),
    (npy("[1]"), "no .npy file"),
    (npy(described((2,)), version=b"\x09\x00"), "no .npy file|format"),
    (npy(described((2,)), version=b"\x03\x00"), "format"),
]


@pytest.mark.parametrize(("data", "text"), HOSTILE)
def test_hostile_arrays_are_refused_by_name(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "bad.npy"
    path.write_bytes(data)
    with pytest.raises(CalibrationFileError, match=f"bad.npy.*({text})"):
        read_npy(path)
    for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "bad.npz", "w", packed) as archive:
            archive.writestr("image.npy", data)
        with pytest.raises(CalibrationFileError, match=r"bad\.npz"):
            read_npz(tmp_path / "bad.npz")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_damaged_archives_are_refused(tmp_path: Path, write: Any) -> None:
    buffer = io.BytesIO()
    write(buffer, image=np.random.default_rng(0).integers(0, 9, (20, 30)))
    data, path = buffer.getvalue(), tmp_path / "bad.npz"
    refused = 0
    for cut in range(0, len(data), 97):
        path.write_bytes(data[:cut])
        with pytest.raises(CalibrationFileError):
            read_npz(path)
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            read_npz(path)
        except CalibrationFileError:
            refused += 1
    assert refused > 20


def test_an_archive_without_arrays_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(CalibrationFileError, match="holds no arrays"):
        read_npz(tmp_path / "a.npz")


def test_packed_arrays_do_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1 << 20))
    free = type("Usage", (), {"free": 1 << 20})
    monkeypatch.setattr(array_files.shutil, "disk_usage", lambda _folder: free)
    with pytest.raises(CalibrationFileError, match=r"8388608 bytes unpacked, 1048576 are free"):
        read_npz(tmp_path / "a.npz")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for read in (read_npy, read_npz):
        with pytest.raises(CalibrationFileError, match=r"no\.file: cannot be read \(No such file"):
            read(tmp_path / "no.file")
