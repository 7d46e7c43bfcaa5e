"""Step ``models``: whole models in ONNX Runtime's CUDA provider, lowered and dense.

Where the provider is missing, the products of the same models are timed one by one instead, by the
library alone, and the report says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.end_to_end.gpu_check.place import Place
from tests.end_to_end.gpu_check.result import StepResult

SECONDS = 300.0

NO_PROVIDER = (
    "ONNX Runtime has no CUDA provider here, so no whole model was run: products of the same "
    "models were timed one by one. Have onnxruntime-gpu on the path to run them"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with zeros.

    Attributes:
        name: of the dense model, as ``models/sparse_models.py`` has it.
        pattern: of the zeros.
        sparsity: share of zeros, where the pattern does not say it.
    """

    name: str
    pattern: str
    sparsity: float = 0.8


SUBJECTS = (
    Subject("llama_block", "2:4"),
    Subject("llama_block", "32x32"),
    Subject("bert_base", "2:4"),
    Subject("bert_base", "32x32"),
)
TINY = (Subject("tiny", "2:4"), Subject("tiny", "32x32", 0.5))


def run_models(place: Place) -> StepResult:
    """Lower models and compare them with the dense ones; by their products without a provider."""
    if not place.emulated and not has_provider(place):
        return products_alone(place)
    found: list[dict[str, Any]] = []
    problems: list[str] = []
    for subject in TINY if place.emulated else SUBJECTS:
        entry = lowered(subject, place)
        found.append(entry)
        if entry["problem"]:
            problems.append(f"{subject.name} {subject.pattern}: {entry['problem']}")
    facts = {"runtime": True, "models": found}
    return StepResult("\n".join(problems), facts=facts, line=_line(found))


def has_provider(place: Place) -> bool:
    """Say whether ONNX Runtime opens a session on the GPU, tried in a process of its own."""
    done = place.python("-m", "tests.end_to_end.gpu_check.provider", limit=SECONDS)
    return done.status == 0


def lowered(subject: Subject, place: Place) -> dict[str, Any]:
    """Make a model, lower it, and return what the lowering measured."""
    facts: dict[str, Any] = {"model": subject.name, "pattern": subject.pattern, "problem": ""}
    folder = place.folder / "models"
    words = ("-m", "tests.end_to_end.gpu_check.make_model", folder, subject.name, subject.pattern)
    made = place.python(*words, str(subject.sparsity), limit=SECONDS)
    if made.problem:
        return facts | {"problem": made.problem}
    sparse = folder / made.output.strip().splitlines()[-1]
    report = sparse.with_suffix(".json")
    command = ["-m", "spa_onnx", "lower", sparse, "-o", sparse.with_suffix(".lowered.onnx")]
    command += ["--target", "cuda", "--precision", "float16", "--report", report, "--quiet"]
    command += ["--force"] if place.emulated else []
    done = place.python(*command, limit=SECONDS)
    if done.problem:
        return facts | {"problem": done.problem}
    return facts | _told(json.loads(report.read_text("utf-8")))


def _told(report: dict[str, Any]) -> dict[str, Any]:
    """Return what the report of a lowering says of the whole model."""
    layers = report["layers"]
    times = report["times"][-1] if report["times"] else None
    return {
        "device": report["device"],
        "lowered": sum(bool(layer["packing"]) for layer in layers),
        "products": len(layers),
        "packings": sorted({layer["packing"] for layer in layers if layer["packing"]}),
        "difference": report["difference"],
        "tolerance": report["tolerance"],
        "dense_ms": None if times is None else 1e3 * times["dense"],
        "lowered_ms": None if times is None else 1e3 * times["lowered"],
        "ratio": None if times is None else 1 / times["ratio"],
        "notes": report["notes"],
    }


def products_alone(place: Place) -> StepResult:
    """Time the products of the models by the library alone."""
    out = place.folder / "products.json"
    out.unlink(missing_ok=True)
    done = place.python("-m", "tests.end_to_end.gpu_check.products", out, limit=SECONDS)
    found = json.loads(out.read_text("utf-8")) if out.is_file() else []
    facts = {"runtime": False, "note": NO_PROVIDER, "models": found}
    return StepResult(done.problem, facts=facts, line=f"products alone: {_line(found)}")


def _line(found: Sequence[dict[str, Any]]) -> str:
    """Return the models in a line."""
    return ", ".join(
        f"{entry['model']} {entry['pattern']} {entry['ratio']:.2f}x"
        for entry in found
        if entry.get("ratio") is not None
    )
