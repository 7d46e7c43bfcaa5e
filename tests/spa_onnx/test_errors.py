"""Every error is raised somewhere with a text that says what, where and what now."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import spa_onnx
from spa_onnx import errors
from spa_onnx.bench.records import parse
from tests.builders import GraphBuilder
from tests.spa_onnx.untracked import like


def chain() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.conv(g.input("x", ("N", 3, 6, 6)), 8, 3)
    return g.model(g.conv(g.relu(x), 3))


def prune(model: onnx.ModelProto | Path | str, **settings: object) -> None:
    spa_onnx.prune(model, spa_onnx.PruneConfig(**settings))  # type: ignore[arg-type]


def without_opset() -> onnx.ModelProto:
    model = chain()
    model.opset_import[0].version = 5
    return model


def with_nan() -> onnx.ModelProto:
    model = chain()
    values = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    values[0] = np.nan
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(values, "weight_1"))
    return model


def with_short_data() -> onnx.ModelProto:
    model = chain()
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]
    return model


def with_unknown_operator() -> onnx.ModelProto:
    g = GraphBuilder(opset=13)
    x = g.gemm(g.relu(g.gemm(g.input("x", (2, 4)), 8)), 3)
    y = g.node("Mystery", [x])
    like(g, y, x)
    return g.model(y, check=False)


def all_outputs() -> onnx.ModelProto:
    model = chain()
    model.graph.output.append(onnx.ValueInfoProto(name="relu_4"))
    return model


CASES: list[tuple[type[spa_onnx.SpaError], Callable[[], None], str]] = [
    (
        errors.UsageError,
        lambda: prune(chain(), align=0),
        "align 0 is not a positive number",
    ),
    (errors.UsageError, lambda: prune(chain(), seed=-1), "seed -1 is negative"),
    (
        errors.UsageError,
        lambda: prune(chain(), input_shapes={"x": (0, 3, 6, 6)}),
        r"input shape x:\(0, 3, 6, 6\) has a length below one",
    ),
    (
        errors.UnknownPassError,
        lambda: prune(chain(), importance="l3"),
        r"no importance pass named 'l3'; installed: .*l1, l2.* \(see `spa-onnx passes`\)",
    ),
    (
        errors.BenchFileError,
        lambda: parse("NaN", "zoo.json"),
        r"zoo\.json: is no JSON \(NaN is no number\)",
    ),
    (
        errors.InputShapeError,
        lambda: prune(chain(), input_shapes={"y": (1,)}),
        "--input-shape y:1: the model's inputs are x",
    ),
    (
        errors.InputShapeError,
        lambda: prune(chain(), input_shapes={"x": (1, 3)}),
        r"--input-shape x:1,3: the input has 4 axes: \[N, 3, 6, 6\]",
    ),
    (
        errors.InputShapeError,
        lambda: prune(chain(), input_shapes={"x": (1, 4, 6, 6)}),
        r"--input-shape x:1,4,6,6: the model fixes the shape \[N, 3, 6, 6\]",
    ),
    (
        errors.ModelFileError,
        lambda: prune("nothing.onnx"),
        r"nothing\.onnx: no such file\. Give the path of an \.onnx file",
    ),
    (
        errors.TensorDataError,
        lambda: prune(with_short_data()),
        r"tensor 'weight_1' holds data that does not fill shape \[8, 3, 3, 3\].*Export the",
    ),
    (
        errors.GraphError,
        lambda: prune(without_opset()),
        "opset 5 is older than 7. Convert it with onnx.version_converter",
    ),
    (
        errors.RuntimeRefusedError,
        lambda: prune(with_unknown_operator()),
        "the model: ONNX Runtime cannot load the original model: .*Mystery.*--no-verify",
    ),
    (
        errors.NothingToPruneError,
        lambda: prune(all_outputs()),
        "nothing can be pruned: .*interface.*`spa-onnx analyze MODEL --why` lists every axis",
    ),
    (
        errors.NonFiniteWeightsError,
        lambda: prune(with_nan()),
        r"dim weight_1:0#\d+: weights of .*'weight_1'.* are NaN, .*--importance random",
    ),
    (
        errors.BudgetError,
        lambda: prune(chain(), budget=spa_onnx.KeepFlops(0.01)),
        "cannot keep only 0.01 of the operations: with one lane left .* 0.125 remain; ask for",
    ),
    (
        errors.CalibrationError,
        lambda: prune(chain(), compensation="ridge", calibration={"no such": np.ones((2, 4))}),
        "unknown 'no such'; missing 'x'. The model's inputs are 'x' float32",
    ),
]


@pytest.mark.parametrize(("kind", "cause", "text"), CASES)
def test_an_error_says_what_and_what_now(
    kind: type[spa_onnx.SpaError], cause: Callable[[], None], text: str
) -> None:
    with pytest.raises(kind) as caught:
        cause()
    assert type(caught.value) is kind
    assert re.search(text, str(caught.value).replace("\n", " ")), str(caught.value)


ELSEWHERE = {
    "SpaError", "ModelError",  # bases
    "SamePathError",  # rewrite/test_writer.py
    "ExternalDataError",  # load/test_store.py
    "UnknownShapeError",  # prove/test_feeds.py
    "ProofFailedError", "PrunedModelRefusedError",  # prove/test_proof.py
    "PlanError",  # plan/test_plan.py
    "InternalError",  # score/test_lift.py
    "DuplicatePassError", "PassLoadError",  # test_registry.py
    "CalibrationError", "CalibrationInputError",  # calibrate/test_check.py
    "CalibrationFileError",  # calibrate/test_array_files.py
    "PreprocessError",  # calibrate/test_preprocess.py
    "TimedModelError", "OpenShapeError",  # latency/test_race.py
    "LatencyBudgetError",  # latency/test_search.py
    "OtherWeightsError",  # prove/test_planned.py
    "AlreadyLoweredError", "NotLoweredError", "NothingToLowerError", "OriginalRefusedError",
    "LoweredDiffersError", "LoweredRefusedError",  # lower/test_run.py
    "RecipeError",  # test_recipe.py
    "EvaluationError", "ClusterError",  # bench/criteria/test_criteria.py
}  # fmt: skip


def test_every_error_has_a_test() -> None:
    defined = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    defined = {n for n in defined if n.endswith("Error")}
    assert defined == {kind.__name__ for kind, _, _ in CASES} | ELSEWHERE


def test_classes_of_errors_leave_with_their_own_status() -> None:
    assert {
        kind.__name__: kind.exit_code
        for kind in (
            errors.UsageError,
            errors.ModelError,
            errors.PlanError,
            errors.ProofFailedError,
            errors.BudgetError,
        )
    } == {"UsageError": 2, "ModelError": 3, "PlanError": 3, "ProofFailedError": 4, "BudgetError": 5}


def test_every_error_is_ours() -> None:
    for kind, _, _ in CASES:
        assert issubclass(kind, spa_onnx.SpaError)
    assert issubclass(errors.PrunedModelRefusedError, spa_onnx.ProofFailedError)
