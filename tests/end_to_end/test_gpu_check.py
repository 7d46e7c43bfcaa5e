"""The script of ``make gpu-check`` as far as it runs without a GPU."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
from click.testing import CliRunner

from spa_onnx.bench.kernels.cuda.cases import GROUPS, TYPES, CudaCase, cases
from spa_onnx.bench.kernels.cuda.check import WrongOutputError
from spa_onnx.bench.kernels.cuda.measure import CudaBench
from spa_onnx.bench.kernels.shapes import Group, Linear
from spa_onnx.runtime.cuda import CudaLayer
from spa_onnx.runtime.library import library_path
from tests.end_to_end.gpu_check import report
from tests.end_to_end.gpu_check.__main__ import main
from tests.end_to_end.gpu_check.models import TINY, Subject, lowered
from tests.end_to_end.gpu_check.place import Place
from tests.end_to_end.gpu_check.products import Products, timed
from tests.end_to_end.gpu_check.report import OtherReportError, default_path, kept_steps
from tests.end_to_end.gpu_check.result import StepResult
from tests.end_to_end.gpu_check.run_tests import run_tests
from tests.end_to_end.gpu_check.sanitize import sanitize
from tests.end_to_end.gpu_check.table import rows_of, time_table
from tests.end_to_end.gpu_check.timed_layers import SHARES, in_order, rank, time_until
from tests.runtime_kernels.cuda_library import cuda_library, needs_emulator
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.spa_onnx.bench.kernels.cuda.fake_gpu import DEVICE, FakeGpu


def here(folder: Path, *, emulated: bool = True, seconds: float = 500) -> Place:
    """Return a place with the libraries that tests have."""
    libraries = folder / "libraries"
    libraries.mkdir()
    place = Place(folder, libraries, emulated, time.monotonic() + seconds)
    place.cuda_library.symlink_to(cuda_library().path)
    (libraries / "libspa_onnx_kernels.so").symlink_to(library_path().resolve())
    return place


def nowhere(folder: Path) -> Place:
    return Place(folder, folder, emulated=False, deadline=time.monotonic() + 60)


@needs_emulator
def test_every_kernel_runs_under_a_sanitizer_or_by_itself(tmp_path: Path) -> None:
    done = sanitize(here(tmp_path))
    assert done.status == "passed", done.problem
    assert done.line.endswith(" kernels ran")
    assert int(done.line.split()[0]) >= 2 * 28  # of each type, for tokens and for planes


@needs_emulator
def test_tests_are_counted(tmp_path: Path) -> None:
    done = run_tests(here(tmp_path), "a_single_value_is_found and two_of_four-float16")
    assert done.status == "passed", done.problem
    assert done.facts["passed"] > 0
    assert done.facts["failed"] == []


@needs_emulator
def test_emulated_layers_are_not_timed(tmp_path: Path) -> None:
    done = time_table(here(tmp_path))
    assert done.status == "skipped"
    assert "mean nothing" in done.problem


@needs_emulator
@needs_kernels
@pytest.mark.parametrize("subject", TINY, ids=str)
def test_a_model_is_lowered_and_compared(tmp_path: Path, subject: Subject) -> None:
    found = lowered(subject, here(tmp_path))
    assert not found["problem"]
    assert found["lowered"] > 0
    assert found["difference"] <= found["tolerance"]
    assert found["ratio"] > 0


def test_what_fails_is_written_down_and_the_rest_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    words = ["--step", "table", "--step", "models", "--libraries", str(tmp_path), "-o", str(out)]
    words += ["--sources", "some commit"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1, done.output
    content = json.loads(out.read_text())
    assert content["sources"] == "some commit"
    assert content["versions"]["python"]
    assert {name: step["status"] for name, step in content["steps"].items()} == {
        "table": "failed", "models": "failed",
    }  # fmt: skip
    assert "does not exist" in content["steps"]["table"]["problem"]
    assert "table: it ended with 1" in done.output


def test_no_time_left_is_a_failure(tmp_path: Path) -> None:
    late = Place(tmp_path, tmp_path, emulated=True, deadline=time.monotonic() + 1)
    done = late.python("-c", "pass", limit=60)
    assert done.status is None
    assert "no time was left" in done.problem


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    done = nowhere(tmp_path).python("-uc", "import time; print('begun'); time.sleep(60)", limit=6)
    assert done.status is None
    assert done.seconds < 30
    assert "after 6 s: ...begun" in done.problem


EARLIER = {
    "machine": {"device": "A GPU", "driver": "1.2"},
    "sources": "abc",
    "steps": {"build": {"status": "passed"}},
}


def test_steps_of_an_earlier_report_are_kept_of_the_same_machine_only(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    device = {"device": "A GPU", "driver": "1.2", "more": 3}
    assert kept_steps(path, device, "abc") == {}
    path.write_text(json.dumps(EARLIER))
    assert kept_steps(path, device, "abc") == EARLIER["steps"]
    for other, sources in (({**device, "driver": "1.3"}, "abc"), (device, "abd")):
        with pytest.raises(OtherReportError):
            kept_steps(path, other, sources)


def test_a_report_is_named_after_the_device() -> None:
    assert default_path("NVIDIA H200 (SXM)").as_posix().endswith("docs/gpu/nvidia-h200-sxm.json")
    assert default_path("").name == "no-gpu.json"


def test_what_tells_most_is_timed_first_and_layers_of_one_weight_together() -> None:
    listed = list(cases(GROUPS, (), SHARES, TYPES))
    groups = list(in_order(listed))
    assert sum(map(len, groups)) == len(listed)
    assert all(len({case.weight for case in group}) == 1 for group in groups)
    assert all(case.layer.rows == case.layer.columns == 4096 for case in groups[0])
    assert {case.group.name for case in groups[0]} >= {"decode", "linear-512", "linear-4096"}
    ranks = [rank(group[0]) for group in groups]
    assert ranks == sorted(ranks)
    assert {case.values for group in groups[: ranks.index(4)] for case in group} == {"float16"}


def few_cases(*tokens: int) -> list[CudaCase]:
    group = Group("some", [Linear(n, 48, 32) for n in tokens], ("2:4", "16x16"))
    return list(cases([group], (), (0.5,), ["float16"]))


def test_layers_are_timed_while_there_is_time(tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    time_until(time.monotonic() + 100, FakeGpu(), few_cases(1, 2), out)
    facts = json.loads(out.read_text())
    assert facts["not_measured"] == 0
    assert len(facts["layers"]) == 4
    assert {mean["pattern"]: mean["layers"] for mean in facts["means"]} == {"2:4": 2, "16x16": 2}
    time_until(time.monotonic() - 1, FakeGpu(), few_cases(1, 2), out)
    assert json.loads(out.read_text())["not_measured"] == 4


def test_layers_before_a_wrong_one_are_kept(tmp_path: Path) -> None:
    class Worsening(FakeGpu):
        def run(self, layer: CudaLayer) -> npt.NDArray[Any]:
            self.wrong = 0.0 if len(self.ran) < 2 else 1.0
            return super().run(layer)

    out = tmp_path / "table.json"
    with pytest.raises(WrongOutputError):
        time_until(time.monotonic() + 100, Worsening(), few_cases(1, 2), out)
    facts = json.loads(out.read_text())
    assert (len(facts["layers"]), facts["not_measured"]) == (2, 2)


def test_products_of_a_model_are_added_up() -> None:
    model = Products("some", 3, ((48, 32, 4), (32, 48, 2)))
    found = timed(model, "2:4", 0.5, CudaBench(FakeGpu(), DEVICE, 1))
    assert found["products"] == 6
    assert (found["sparse_ms"], found["dense_ms"]) == pytest.approx((6 * 0.01, 6 * 0.02))
    assert found["ratio"] == pytest.approx(2)


def test_the_table_has_a_line_for_every_mean() -> None:
    mean = {"group": "decode float16", "pattern": "2:4", "sparsity": 0.5, "layers": 3,
            "mean": 1.5, "least": 1.25, "greatest": 2.0}  # fmt: skip
    assert rows_of({"means": [mean]}) == [
        ["decode float16", "2:4", "50 %", "3", "1.50 (1.25-2.00)"]
    ]
    steps: dict[str, Any] = {
        "table": {**StepResult(line="1 layer").as_json(3.0), "means": [mean]},
        "tests": StepResult("it broke").as_json(1.0),
    }
    text = report.tables(steps, {"table": "1 layer"})
    assert "table  passed  3 s   1 layer" in text
    assert "decode float16  2:4" in text
    assert text.endswith("tests: it broke")
    assert report.failed(steps) == ["tests"]


@pytest.mark.parametrize(
    ("step", "program"), [("build", "cmake"), ("sanitize", "compute-sanitizer")]
)
def test_programs_that_are_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, program: str
) -> None:
    from tests.end_to_end.gpu_check.build import Build

    steps: dict[str, Callable[[Place], StepResult]] = {"build": Build(), "sanitize": sanitize}
    monkeypatch.setenv("PATH", str(tmp_path))
    done = steps[step](nowhere(tmp_path))
    assert done.status == "failed"
    assert f"{program} is not on the PATH" in done.problem
