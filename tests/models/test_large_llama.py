"""The script of the large decoder writes a model that runs, with sane activations, and prunes."""

import importlib
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
def llama(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A small decoder."""
    monkeypatch.syspath_prepend(str(MODELS))
    module: Any = importlib.import_module("large_llama")
    path: Path = module.write(tmp_path / "in", module.Shape(**WIDTHS))
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
    config = spa_onnx.PruneConfig(proof_memory=200_000)
    report = spa_onnx.prune(llama, config, output=tmp_path / "pruned.onnx").report
    assert report.proof is not None
    assert report.proof.pieces > 4
    assert report.proof.power > 0.1
    assert report.after.parameters < 0.45 * report.before.parameters
