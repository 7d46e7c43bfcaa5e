"""Operators of ai.onnx.ml, which keep every feature at its place."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.builders import GraphBuilder
from tests.spa_onnx.ops.cases.case import Case, end, rows
from tests.spa_onnx.untracked import like, shaped, use

Build = Callable[[GraphBuilder], str]
DOMAIN, VERSION = "ai.onnx.ml", 3


def _between(g: GraphBuilder, y: str) -> str:
    """Two layers: the first reads features that stay, lanes between them can be cut."""
    return end(g, g.relu(g.gemm(y, 6)))


def _features(op: str, **attributes: Any) -> Build:
    def build(g: GraphBuilder) -> str:
        use(g, DOMAIN, VERSION)
        x = rows(g)
        return _between(g, like(g, g.node(op, [x], domain=DOMAIN, **attributes), x))

    return build


def _extract(g: GraphBuilder) -> str:
    use(g, DOMAIN, VERSION)
    inputs = [rows(g), g.constant([5, 0, 3])]
    y = g.node("ArrayFeatureExtractor", inputs, domain=DOMAIN)
    return _between(g, shaped(g, y, (2, 3)))


def _vectorize(g: GraphBuilder) -> str:
    use(g, DOMAIN, VERSION)
    x = rows(g)
    inputs = [x, g.relu(g.gemm(x, 5))]
    y = g.node("FeatureVectorizer", inputs, domain=DOMAIN, inputdimensions=[8, 5])
    return _between(g, shaped(g, y, (2, 13)))


NUMBERS = np.arange(1, 9, dtype=np.float32)
CASES = tuple(
    Case(f"{DOMAIN}::{op}", form, 17, build, cut=False)
    for op, form, build in (
        ("Scaler", "numbers of every feature", _features("Scaler", offset=NUMBERS, scale=NUMBERS)),
        ("Scaler", "one number", _features("Scaler", offset=[0.5], scale=[2.0])),
        ("Normalizer", "L2", _features("Normalizer", norm="L2")),
        (
            "Imputer", "one number",
            _features("Imputer", imputed_value_floats=[1.0], replaced_value_float=0.0),
        ),
        ("Binarizer", "threshold", _features("Binarizer", threshold=0.1)),
        (
            "LabelEncoder", "floats",
            _features(
                "LabelEncoder", keys_floats=[0.0, 1.0], values_floats=[3.0, 4.0], default_float=0.5
            ),
        ),
        ("ArrayFeatureExtractor", "three features", _extract),
        ("FeatureVectorizer", "two tensors", _vectorize),
    )
)  # fmt: skip
