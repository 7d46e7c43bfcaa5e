"""The script of the large decoder writes a model that runs, with sane activations, and prunes."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import spa_onnx

MODELS = Path(__file__).parents[2] / "models"
WIDTHS = {"layers": 2, "width": 64, "heads": 4, "key_heads": 2, "hidden": 176, "words": 300}


@pytest.fixture
def large_llama(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(MODELS))
    return importlib.import_module("large_llama")


@pytest.fixture
def llama(large_llama: Any, tmp_path: Path) -> Path:
    """A small decoder."""
    path: Path = large_llama.write(tmp_path / "in", large_llama.Shape(**WIDTHS))
    return path


def test_its_activations_neither_vanish_nor_overflow(llama: Path) -> None:
    onnx.checker.check_model(str(llama), full_check=True)
    session = ort.InferenceSession(str(llama), providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(0, WIDTHS["words"], (2, 9))
    (logits,) = session.run(None, {"input_ids": ids})
    assert 0.3 < np.asarray(logits, np.float32).std() < 3


def test_no_two_weights_are_the_same_numbers(llama: Path) -> None:
    weights = [t for t in onnx.load(str(llama)).graph.initializer if np.prod(t.dims) > 1000]
    assert len(weights) == 2 + 7 * WIDTHS["layers"]
    assert len({t.raw_data[:64] for t in weights}) == len(weights)


def test_it_is_pruned_and_proved_in_pieces(llama: Path, tmp_path: Path) -> None:
    config = spa_onnx.PruneConfig(importance="l2", proof_memory=200_000)
    report = spa_onnx.prune(llama, config, output=tmp_path / "pruned.onnx").report
    assert report.proof is not None
    assert report.proof.pieces > 4
    assert report.proof.power > 0.1
    assert report.after.parameters < 0.45 * report.before.parameters


RUN = """
import sys, spa_onnx
config = spa_onnx.PruneConfig(importance="l2", proof_memory=int(sys.argv[3]))
proof = spa_onnx.prune(sys.argv[1], config, output=sys.argv[2]).report.proof
lines = dict(line.split(":") for line in open("/proc/self/status"))
print(lines["VmHWM"].split()[0], proof.pieces)
"""
# Not getrusage: its peak begins with that of the process that started this one.


def peak(model: Path, proof_memory: int) -> tuple[int, int]:
    """Return the kilobytes that a run takes at most, proof included, and its pieces."""
    arguments = [str(model), str(model.with_name("pruned.onnx")), str(proof_memory)]
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kilobytes, pieces = map(int, done.stdout.split())
    return kilobytes, pieces


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak on Linux only")
def test_a_proof_in_pieces_takes_less_memory(large_llama: Any, tmp_path: Path) -> None:
    """170 MB of weights, half a gigabyte in a session; pieces of a hundred megabytes."""
    shape = large_llama.Shape(4, 1024, 8, 8, 2816, 16000)
    model = large_llama.write(tmp_path, shape)
    file = model.with_suffix(".bin").stat().st_size // 1000
    whole, one = peak(model, 10**9)
    least, pieces = peak(model, 100_000_000)
    assert one == 1
    assert pieces > 4
    assert whole - least > 0.8 * file
