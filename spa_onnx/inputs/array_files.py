"""Arrays of ``.npy`` and ``.npz`` files, mapped where they lie; what is packed is unpacked first.

Nothing is allocated on the word of a header: an array must be as large as its file says, and what
is pickled is never loaded.
"""

from __future__ import annotations

import lzma
import shutil
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from spa_onnx.errors import CalibrationFileError
from spa_onnx.inputs.batches import Feed

Header = tuple[tuple[int, ...], bool, np.dtype[Any]]

UNREADABLE = (
    ValueError, SyntaxError, TypeError, KeyError, EOFError, RecursionError, MemoryError,
    OverflowError, NotImplementedError, RuntimeError, tokenize.TokenError, zlib.error,
    zipfile.BadZipFile, struct.error, lzma.LZMAError,
)  # fmt: skip
"""What NumPy and the zip reader raise on files that are not what they say."""

AGAIN = "Write it again with numpy.save or numpy.savez"
CHUNK = 1 << 20
SHARE = 2
"""An array may be unpacked into this part of the free space for temporary files."""


def read_npy(path: Path) -> Feed:
    """Return the array of a ``.npy`` file, mapped.

    Raises:
        CalibrationFileError: it holds no plain array.
    """
    try:
        with path.open("rb") as file:
            header = _header(file, str(path))
            start = file.tell()
        return _mapped(path, header, start, path.stat().st_size - start, str(path))
    except OSError as failure:
        raise _unreadable(path, failure) from failure
    except UNREADABLE as failure:
        raise CalibrationFileError(str(path), f"is no .npy file ({failure})", AGAIN) from failure


def read_npz(path: Path) -> dict[str, Feed]:
    """Return the arrays of an ``.npz`` file by name.

    Raises:
        CalibrationFileError: it is damaged, or an array is not plain.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            found = {m.filename[: -len(".npy")]: _member(path, archive, m) for m in members}
    except OSError as failure:
        raise _unreadable(path, failure) from failure
    except UNREADABLE as failure:
        raise CalibrationFileError(str(path), f"is no .npz file ({failure})", AGAIN) from failure
    if not found:
        raise CalibrationFileError(str(path), "holds no arrays", AGAIN)
    return found


def _unreadable(path: Path, failure: OSError) -> CalibrationFileError:
    return CalibrationFileError(
        str(path),
        f"cannot be read ({failure.strerror or failure})",
        "Check the path and its rights",
    )


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Feed:
    """Return one array: mapped where it lies as it is, else from a file that it is unpacked to."""
    label = f"{path}: array {member.filename!r}"
    with archive.open(member) as file:
        header = _header(file, label)
        start = file.tell()
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            return _unpacked(file, header, label)
    with path.open("rb") as raw:
        raw.seek(member.header_offset + 26)  # lengths of the two texts behind the local header
        texts = int.from_bytes(raw.read(2), "little") + int.from_bytes(raw.read(2), "little")
    offset = member.header_offset + 30 + texts + start
    return _mapped(path, header, offset, member.file_size - start, label)


def _header(file: IO[bytes], label: str) -> Header:
    """Read the header of an array, and refuse what is not made of numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that old versions wrote
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise CalibrationFileError(label, f"has an array format {version} of its own", AGAIN)
        shape, order, dtype = read(file)
    if dtype.kind not in "fiub":
        problem = f"holds {'pickled objects' if dtype.hasobject else dtype}, no numbers"
        raise CalibrationFileError(label, problem, "Save plain arrays of numbers")
    if any(n < 0 for n in shape):
        raise CalibrationFileError(label, f"has the impossible shape {shape}", AGAIN)
    return shape, order, dtype


def _size(header: Header) -> int:
    size = header[2].itemsize
    for length in header[0]:
        size *= int(length)
    return size


def _mapped(path: Path, header: Header, offset: int, present: int, label: str) -> Feed:
    shape, fortran, dtype = header
    if _size(header) > present:
        problem = f"should hold {_size(header)} bytes of shape {shape}, but there are {present}"
        raise CalibrationFileError(label, problem, AGAIN)
    if not _size(header):
        return np.zeros(shape, dtype)
    order: Any = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", offset, shape, order)


def _unpacked(file: IO[bytes], header: Header, label: str) -> Feed:
    """Unpack an array into a temporary file without a name."""
    shape, fortran, dtype = header
    left, free = _size(header), shutil.disk_usage(tempfile.gettempdir()).free
    if left > free // SHARE:
        problem = f"takes {left} bytes unpacked, {free} are free for temporary files"
        raise CalibrationFileError(label, problem, "Save it with numpy.savez, which does not pack")
    if not left:
        return np.zeros(shape, dtype)
    order: Any = "F" if fortran else "C"
    with tempfile.TemporaryFile(prefix="spa-onnx-") as made:
        while left and (chunk := file.read(min(left, CHUNK))):
            made.write(chunk)
            left -= len(chunk)
        if left:
            raise CalibrationFileError(label, f"ends {left} bytes early", AGAIN)
        made.flush()
        return np.memmap(made, dtype, "r", 0, shape, order)
