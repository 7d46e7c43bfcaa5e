"""The emulator that stands in for a GPU: it must find what is wrong in kernels.

Its tensor cores must multiply as PTX says; the layouts here are those of the PTX ISA, written down
once more.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).parent
SOURCES = HERE.parents[2] / "runtime_kernels"
COMPILER = shutil.which("c++")

Floats = NDArray[np.float32]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("emulator") / "cases"
    files = [HERE / "cases.cc", SOURCES / "simt/emulator.cc", SOURCES / "simt/shadow.cc"]
    command = [
        str(COMPILER),
        "-std=c++17",
        "-O1",
        "-DSPA_EMULATED",
        f"-I{SOURCES}",
        "-o",
        str(path),
    ]
    subprocess.run([*command, *map(str, files)], check=True)
    return path


def run(program: Path, case: str, *words: int) -> subprocess.CompletedProcess[str]:
    command = [str(program), case, *(f"{word:x}" for word in words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def numbers(program: Path, case: str, *words: int) -> list[float]:
    done = run(program, case, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    "case", ["passed on", "passed on in a warp", "written again", "fetched", "fetched in turn"]
)
def test_kernels_that_wait_where_they_must_run(program: Path, case: str) -> None:
    done = run(program, case)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("passed on too early", "no barrier in between|has not arrived"),
        ("passed on too early in a warp", "no barrier in between|has not arrived"),
        ("written again too early", "writes what was read by thread"),
        ("written by two", "writes what was written by thread"),
        ("a shuffle is no barrier", "no barrier in between"),
        ("a barrier that some avoid", "waits at a barrier that others never reach"),
        ("beside shared memory", "an access of 4 bytes at 16384 of shared memory of 4096"),
        ("misaligned", "an access is not aligned to 16 bytes"),
        ("half a warp", "blocks of 16 threads are not whole warps"),
        ("fetched and not awaited", "the copy has not arrived"),
    ],
)
def test_a_kernel_that_is_wrong_in_one_way_is_found_out(
    program: Path, case: str, text: str
) -> None:
    done = run(program, case)
    assert done.returncode == 1
    assert any(part in done.stdout for part in text.split("|")), done.stdout


def test_ldmatrix_gives_each_lane_two_neighbours_of_its_row(program: Path) -> None:
    found = np.array(numbers(program, "matrices")).reshape(32, 4, 2)
    for lane in range(32):
        for j in range(4):
            row, column = 8 * j + lane // 4, 2 * (lane % 4)
            assert found[lane, j].tolist() == [8 * row + column, 8 * row + column + 1]


def test_transposed_ldmatrix_gives_each_lane_two_neighbours_of_its_column(program: Path) -> None:
    found = np.array(numbers(program, "matrices transposed")).reshape(32, 4, 2)
    for lane in range(32):
        for j in range(4):
            row, column = 8 * j + 2 * (lane % 4), lane // 4
            assert found[lane, j].tolist() == [8 * row + column, 8 * (row + 1) + column]


def test_shuffles_bring_values_of_the_lanes_they_name(program: Path) -> None:
    found = numbers(program, "shuffles")
    assert found[:32] == [0, 1, 2, *range(29)]
    assert found[32:64] == [lane ^ 5 for lane in range(32)]
    assert found[64:96] == [7] * 32


def words_of(pairs: NDArray[np.uint16]) -> list[int]:
    """Return 32-bit words of 16-bit pairs, the first one low."""
    flat = pairs.reshape(-1, 2).astype(np.int64)
    return [int(word) for word in flat[:, 0] | flat[:, 1] << 16]


def fragment_a(a: NDArray[np.uint16]) -> list[int]:
    """Return four words for each lane: rows g and g + 8 of columns 2 t, then of 2 t + 8."""
    pairs = [
        a[g + 8 * (i % 2), 2 * t + 8 * (i // 2) :][:2]
        for g in range(8)
        for t in range(4)
        for i in range(4)
    ]
    return words_of(np.array(pairs))


def fragment_b(b: NDArray[np.uint16]) -> list[int]:
    """Return a word for each lane and 8 rows: rows 2 t and 2 t + 1 of column g."""
    pairs = [
        b[8 * i + 2 * t :, g][:2] for g in range(8) for t in range(4) for i in range(len(b) // 8)
    ]
    return words_of(np.array(pairs))


def sums_of(found: list[float]) -> Floats:
    """Return the 16 x 8 matrix of all lanes' sums."""
    lanes = np.array(found[:128], np.float32).reshape(8, 4, 2, 2)  # g, t, half of rows, column
    return lanes.transpose(2, 0, 1, 3).reshape(16, 8)


def initial_sums() -> Floats:
    return sums_of([1, 2, 3, 4] * 32)


def test_a_product_is_that_of_its_fragments(program: Path) -> None:
    random = np.random.default_rng(0)
    a = random.integers(-8, 8, (16, 16)).astype(np.float16)
    b = random.integers(-8, 8, (16, 8)).astype(np.float16)
    words = fragment_a(a.view(np.uint16)) + fragment_b(b.view(np.uint16))
    found = sums_of(numbers(program, "product", *words))
    expected = a.astype(np.float32) @ b.astype(np.float32) + initial_sums()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("selector", [0, 1])
def test_a_sparse_product_takes_positions_from_the_lanes_of_its_selector(
    program: Path, selector: int
) -> None:
    random = np.random.default_rng(selector)
    a = np.zeros((16, 32), ml_dtypes.bfloat16)
    stored = np.zeros((16, 16), ml_dtypes.bfloat16)
    words = [0x44444444] * 32  # of the other selector's lanes, sound but wrong
    mine = np.zeros((16, 2), np.int64)
    for row in range(16):
        for group in range(8):
            first, second = sorted(random.choice(4, 2, replace=False))
            values = random.integers(1, 8, 2)
            a[row, 4 * group + first], a[row, 4 * group + second] = values
            stored[row, 2 * group : 2 * group + 2] = values
            mine[row, group // 4] |= (first | second << 2) << 4 * (group % 4)
    for g in range(8):
        for half in range(2):
            word = int(mine[g, half] | mine[g + 8, half] << 16)
            words[4 * g + 2 * selector + half] = word
    b = random.integers(-8, 8, (32, 8)).astype(ml_dtypes.bfloat16)
    given = fragment_a(stored.view(np.uint16)) + fragment_b(b.view(np.uint16)) + words
    found = sums_of(numbers(program, f"sparse product {selector}", *given))
    expected = a.astype(np.float32) @ b.astype(np.float32) + initial_sums()
    np.testing.assert_array_equal(found, expected)
