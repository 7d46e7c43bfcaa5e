"""Train small scikit-learn models and convert them with skl2onnx.

    python models/sklearn_zoo.py OUT --model scaled_pca_classifier

writes OUT/scaled_pca_classifier.onnx. Needs click and, on Python 3.11, the requirements below;
the data is drawn from a fixed seed.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from model_files import Exported, zoo_command
from skl2onnx import to_onnx
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, StandardScaler

REQUIREMENTS = ("scikit-learn==1.9.1", "skl2onnx==1.20.0", "onnx==1.23.2", "onnxruntime==1.31.1")
OPSET = 21
FEATURES = 24
CLASSES = 5

Table = npt.NDArray[Any]


def table(rows: int = 400) -> Table:
    """Return features ``(rows, FEATURES)`` of unequal scale that depend on one another."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((rows, 8))
    mixed = hidden @ rng.standard_normal((8, FEATURES))
    features = 3.0 * mixed + rng.standard_normal(mixed.shape) + np.arange(FEATURES)
    return features.astype(np.float32)


def labels(features: Table, classes: int = CLASSES) -> Table:
    """Return one class per row, learnable from the features."""
    weights = np.random.default_rng(1).standard_normal((FEATURES, classes))
    centred = features - features.mean(axis=0)
    return np.asarray((np.tanh(centred) @ weights).argmax(axis=1))


def targets(features: Table, outputs: int = 1) -> Table:
    """Return one or several numbers per row, learnable from the features."""
    weights = np.random.default_rng(2).standard_normal((FEATURES, outputs))
    centred = features - features.mean(axis=0)
    return np.squeeze(np.tanh(centred / 4) @ weights, axis=1 if outputs == 1 else ())


def classifier(*hidden: int, activation: str = "relu") -> MLPClassifier:
    """Return a classifier that trains briefly."""
    return MLPClassifier(hidden, activation=activation, max_iter=30, random_state=0)


def regressor(*hidden: int, activation: str = "relu") -> MLPRegressor:
    """Return a regressor that trains briefly."""
    return MLPRegressor(
        hidden_layer_sizes=hidden, activation=activation, max_iter=30, random_state=0
    )


ESTIMATORS: dict[str, tuple[Callable[[], BaseEstimator], str]] = {
    "classifier": (lambda: classifier(64, 32), "classes"),
    "classifier_tanh": (lambda: classifier(64, activation="tanh"), "classes"),
    "classifier_binary": (lambda: classifier(48, 48, activation="logistic"), "two classes"),
    "classifier_identity": (lambda: classifier(32, activation="identity"), "classes"),
    "classifier_multilabel": (lambda: classifier(64, 32), "multilabel"),
    "scaled_classifier": (lambda: make_pipeline(StandardScaler(), classifier(64, 32)), "classes"),
    "scaled_pca_classifier": (
        lambda: make_pipeline(StandardScaler(), PCA(16), classifier(64, 32)),
        "classes",
    ),
    "whitened_pca_classifier": (
        lambda: make_pipeline(MinMaxScaler(), PCA(12, whiten=True), classifier(64)),
        "classes",
    ),
    "svd_regressor": (
        lambda: make_pipeline(StandardScaler(), TruncatedSVD(16), regressor(64, 64)),
        "number",
    ),
    "union_classifier": (
        lambda: make_pipeline(
            FeatureUnion([("pca", PCA(8)), ("scaled", StandardScaler()), ("unit", Normalizer())]),
            classifier(96, 48),
        ),
        "classes",
    ),
    "columns_regressor": (
        lambda: make_pipeline(
            ColumnTransformer(
                [("first", StandardScaler(), slice(0, 10)), ("last", PCA(6), slice(10, FEATURES))]
            ),
            regressor(64, 32),
        ),
        "number",
    ),
    "selected_polynomial_regressor": (
        lambda: make_pipeline(
            StandardScaler(),
            SelectKBest(k=8),
            PolynomialFeatures(2),
            StandardScaler(),
            regressor(64),
        ),
        "number",
    ),
    "regressor": (lambda: make_pipeline(StandardScaler(), regressor(64, 64)), "number"),
    "regressor_tanh_outputs": (lambda: regressor(64, 32, 16, activation="tanh"), "numbers"),
    "pca_logistic": (
        lambda: make_pipeline(StandardScaler(), PCA(16), LogisticRegression(max_iter=500)),
        "classes",
    ),
    "pca_ridge": (lambda: make_pipeline(StandardScaler(), PCA(16), Ridge()), "number"),
    "voting": (
        lambda: VotingClassifier(
            [("wide", classifier(64)), ("deep", classifier(32, 32, 32))],
            voting="soft",
            flatten_transform=False,
        ),
        "classes",
    ),
}
"""By name an estimator and what it learns."""


def convert(name: str) -> Exported:
    """Train one estimator, convert it and compute what it says about a few rows."""
    warnings.simplefilter("ignore")
    make, goal = ESTIMATORS[name]
    features = table()
    goals = {
        "classes": lambda: labels(features),
        "two classes": lambda: labels(features, 2),
        "multilabel": lambda: targets(features, CLASSES) > 0,
        "number": lambda: targets(features),
        "numbers": lambda: targets(features, 3),
    }
    model = make().fit(features, goals[goal]().astype(float if "number" in goal else int))
    few = features[:7]
    options = {} if "number" in goal else {"zipmap": False}
    proto = to_onnx(model, few, target_opset=OPSET, options={id(model): options})
    if "number" in goal:
        expected = [model.predict(few)]
    else:
        expected = [model.predict(few), model.predict_proba(few)]
    return Exported(proto, {proto.graph.input[0].name: few}, expected)


BUILDERS: dict[str, Callable[[], Exported]] = {name: partial(convert, name) for name in ESTIMATORS}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
