"""Models of other frameworks, and those written by hand, are pruned and proved or refused.

The hand-written ones always run. One small model per framework runs where the framework is
installed; the scripts under models/ write all of them.
"""

import importlib
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

import spa_onnx

MODELS = Path(__file__).parents[2] / "models"
FRAMEWORKS = {
    "keras_zoo": (("tensorflow", "tf2onnx"), ("mlp", "dense_excite")),
    "jax_zoo": (("flax", "equinox", "jax2onnx"), ("equinox_mlp",)),
    "paddle_zoo": (("paddle", "paddle2onnx"), ("mlp",)),
    "sklearn_zoo": (("skl2onnx",), ("scaled_pca_classifier", "columns_regressor")),
}
"""By script what it needs and which of its models are cheap enough for a test."""
CHEAP = [(script, name) for script, (_, names) in FRAMEWORKS.items() for name in names]

pytestmark = pytest.mark.filterwarnings("ignore")  # what the frameworks warn about is theirs


@pytest.fixture(scope="session", autouse=True)
def scripts_import_one_another() -> Iterator[None]:
    sys.path.insert(0, str(MODELS))
    yield
    sys.path.remove(str(MODELS))


def script(name: str) -> Any:
    """Import a script as it is imported when it runs, also while tests are collected."""
    sys.path.insert(0, str(MODELS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(MODELS))


FILES = script("model_files")
SAMPLES = script("handwritten_zoo").SAMPLES


def prune_half(model: onnx.ModelProto) -> spa_onnx.PruneReport:
    """Prune at ratio 0.5 with the proof and return the report."""
    report = spa_onnx.prune(model, spa_onnx.PruneConfig(spa_onnx.Ratio(0.5), "l2")).report
    assert report.proof is not None
    return report


def build(make: Callable[[], Any], folder: Path) -> Any:
    """Build one model and run it as the script does; skip where a tool of its maker is absent."""
    try:
        exported = make()
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    path = folder / "model.onnx"
    onnx.save(exported.model, path)
    FILES.largest_difference(exported, FILES.run_model(path, exported.feeds))
    return exported


@pytest.mark.parametrize("name", SAMPLES)
def test_handwritten_model_is_pruned_and_proved_or_refused(name: str, tmp_path: Path) -> None:
    make, expect = SAMPLES[name]
    model = build(make, tmp_path).model
    if isinstance(expect, str):
        with pytest.raises(spa_onnx.SpaError, match=re.escape(expect)):
            prune_half(model)
        return
    report = prune_half(model)
    assert report.proof is not None
    assert report.proof.largest < 0.02 * report.proof.power
    assert 1 - report.after.operations / report.before.operations >= expect


@pytest.mark.parametrize(("script", "name"), CHEAP)
def test_model_of_another_framework_is_pruned_and_proved(
    script: str, name: str, tmp_path: Path
) -> None:
    for package in FRAMEWORKS[script][0]:
        pytest.importorskip(package)
    builders = importlib.import_module(script).BUILDERS
    report = prune_half(build(builders[name], tmp_path).model)
    assert report.proof is not None
    assert report.proof.largest < 0.02 * report.proof.power
    assert report.after.parameters < 0.5 * report.before.parameters


@pytest.mark.parametrize("script", FRAMEWORKS)
def test_every_requirement_of_a_script_is_pinned(script: str) -> None:
    source = (MODELS / f"{script}.py").read_text()
    found = re.search(r"^REQUIREMENTS = \((.*?)\)$", source, re.DOTALL | re.MULTILINE)
    assert found is not None
    requirements = re.findall(r'"(.+?)"', found[1])
    assert len(requirements) >= 3
    assert all(re.fullmatch(r"[\w\-\[\]]+==[\d.]+", one) for one in requirements)


def test_a_differing_export_says_so_in_the_parent_process() -> None:
    error = FILES.ExportDiffersError(0.5)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "5.0e-01" in str(error)
