from pathlib import Path

import pytest

from spa_onnx.doctor import processor

X86 = """processor\t: 0
model name\t: Some Processor @ 2 GHz
flags\t\t: fpu sse4_2 avx2 fma avx512f ht

processor\t: 1
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor, "CPU_LIMIT", tmp_path / "cpu.max")
    return tmp_path


def test_name_and_instruction_sets_are_the_systems(files: Path) -> None:
    (files / "cpuinfo").write_text(X86)
    assert processor.processor().startswith("Some Processor @ 2 GHz (")
    assert processor.instruction_sets() == "sse4_2, fma, avx2, avx512f"


def test_arm_names_its_flags_otherwise(files: Path) -> None:
    (files / "cpuinfo").write_text("Features\t: fp asimd sve\n")
    assert processor.instruction_sets() == "asimd, sve"


def test_a_system_that_tells_nothing_is_no_error(files: Path) -> None:
    assert processor.processor()
    assert processor.instruction_sets() == "not reported by the system"
    assert "logical processors" in processor.threads()


@pytest.mark.parametrize(
    ("limit", "text"),
    [("150000 100000", "time of 1.5 (control group)"), ("max 100000", ""), ("odd", "")],
)
def test_a_containers_limit_is_told(files: Path, limit: str, text: str) -> None:
    (files / "cpu.max").write_text(limit)
    assert text in processor.threads()
    assert ("control group" in processor.threads()) == bool(text)
