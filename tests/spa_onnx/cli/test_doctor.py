import json
from pathlib import Path

import pytest

from spa_onnx.doctor import examine as examining
from spa_onnx.doctor.check import Check
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.cli.commands import run


@needs_kernels
def test_a_healthy_install_ends_with_zero() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    assert "in use by every operator" in result.stdout
    assert "Everything is in order." in result.stdout
    assert "FAILED" not in result.stdout


def test_a_missing_library_ends_with_seven_and_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPA_ONNX_KERNELS", str(tmp_path / "gone.so"))
    result = run("doctor")
    assert result.exit_code == 7
    assert "FAILED" in result.stdout
    assert (
        "The environment variable SPA_ONNX_KERNELS names it; correct or unset it." in result.stdout
    )
    content = json.loads(run("doctor", "--json").stdout)
    assert content["healthy"] is False
    assert content["checks"][-1]["name"] == "native library"


@needs_kernels
def test_many_failures_of_an_operator_are_not_all_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = [Check(f"case {k}", False, "w" * 1000, "Do this", "SparseConv") for k in range(9)]
    monkeypatch.setattr(examining, "self_test", lambda: [*failed, Check("a", True, "", "", "Op")])
    result = run("doctor")
    assert result.exit_code == 7
    assert "0 of 9 cases as numpy" in result.stdout
    assert "1 of 1 case as numpy" in result.stdout
    assert result.stdout.count("case ") < 8
    assert "6 more; --json has them" in result.stdout
    assert result.stdout.count("Do this.") == 1
