from pathlib import Path

import pytest

from spa_onnx.latency.vector import vector_lanes


@pytest.mark.parametrize(
    ("flags", "lanes"),
    [("fpu sse2 avx avx2 avx512f", 16), ("fpu sse2 avx avx2", 8), ("fpu sse2 avx", 8),
     ("fpu sse2 avx512fake", 4)],
)  # fmt: skip
def test_the_widest_instruction_set_counts(tmp_path: Path, flags: str, lanes: int) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert vector_lanes(info, "x86_64") == lanes
    assert vector_lanes(info, "aarch64") == 4


def test_a_system_that_does_not_tell_has_what_most_have(tmp_path: Path) -> None:
    assert vector_lanes(tmp_path / "none", "AMD64") == 8
    assert vector_lanes() in (4, 8, 16)
