"""However a command ends: one message, the right exit code, nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest

import spa_onnx
import spa_onnx.prove.proof
from spa_onnx.cli import main
from spa_onnx.errors import ProofFailedError
from tests.spa_onnx.cli.commands import leftovers, run


def failing(failure: BaseException) -> Any:
    """Return a function that raises, whatever it is called with."""

    def fail(*_arguments: object, **_options: object) -> NoReturn:
        raise failure

    return fail


@pytest.mark.parametrize(
    ("failure", "code", "text"),
    [
        (ProofFailedError("y", 0.5, 1e-4, "Conv 'c'"), 4, "tensor 'y' (made by Conv 'c')"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device"), 3, "No space left"),
        (MemoryError(), 3, "out of memory"),
        (ZeroDivisionError("a defect"), 1, "unexpected ZeroDivisionError: a defect"),
    ],
)
def test_a_run_that_ends_early_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
    model: Path,
    output: Path,
    failure: BaseException,
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr(spa_onnx.prove.proof, "prove", failing(failure))
    output.write_bytes(b"an older result")
    before = sorted(p.name for p in model.parent.iterdir())
    texts = ("--plan-out", model.with_name("p.json"), "--json", model.with_name("r.json"))
    result = run("prune", model, "-o", output, "--quiet", *texts)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in model.parent.iterdir()) == before
    assert output.read_bytes() == b"an older result"


def test_debug_shows_where_an_error_comes_from(
    monkeypatch: pytest.MonkeyPatch, model: Path, output: Path
) -> None:
    failure = ProofFailedError("y", 0.5, 1e-4, "Conv 'c'")
    monkeypatch.setattr(spa_onnx.prove.proof, "prove", failing(failure))
    assert run("--debug", "prune", model, "-o", output).exception is failure
    assert run("prune", model, "-o", output).exception is not failure


def test_a_text_that_cannot_be_written_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, model: Path, output: Path
) -> None:
    monkeypatch.setattr(Path, "write_text", failing(OSError(28, "No space left on device")))
    result = run("prune", model, "-o", output, "--plan-out", model.with_name("p.json"))
    assert result.exit_code == 2
    assert "p.json cannot be written (No space left on device)" in result.stderr
    assert leftovers(model.parent) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_of_the_proof_leaves_nothing(
    model: Path, output: Path, number: signal.Signals, code: int
) -> None:
    slow = (
        "import time, spa_onnx.prove.proof as p\n"
        "p.prove = lambda *a: time.sleep(60)\n"
        "from spa_onnx.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", slow, "prune", str(model), "-o", str(output)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not leftovers(model.parent) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert sorted(p.name for p in model.parent.iterdir()) == [model.name]


@pytest.mark.parametrize("arguments", [("analyze", "--json"), ("analyze", "--why")])
def test_a_reader_that_goes_away_is_no_error(model: Path, arguments: tuple[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "spa_onnx", *arguments, str(model)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"spa-onnx, version {spa_onnx.__version__}\n"


@pytest.mark.parametrize("command", ["", *main.commands, "bench coverage"])
def test_every_command_has_help(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage: spa-onnx" in result.stdout


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    look = (
        "import sys, spa_onnx.cli; print([m for m in "
        "('rich', 'onnx', 'numpy', 'onnxruntime', 'networkx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_names_that_the_terminal_cannot_write_are_escaped(model: Path, output: Path) -> None:
    strange = model.with_name("модель.onnx")
    model.rename(strange)
    command = [sys.executable, "-m", "spa_onnx", "analyze", str(strange)]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\u043c\\u043e\\u0434\\u0435\\u043b\\u044c.onnx" in done.stdout
