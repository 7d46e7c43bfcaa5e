"""Operators of domain ai.onnx.ml that stand in front of networks: features keep their places.

Source: ONNX-ML Scaler-1, Normalizer-1, Imputer-1, Binarizer-1, LabelEncoder-4,
ArrayFeatureExtractor-1, FeatureVectorizer-1, LinearRegressor-1, LinearClassifier-1.
"""

from __future__ import annotations

from spa_onnx.algebra.expression import size_of
from spa_onnx.algebra.size import Size
from spa_onnx.ops.rule import Coupling, Operands, OpRule, replaced

DOMAIN = "ai.onnx.ml::"
IN_ATTRIBUTE = "coefficients in an attribute"


def couple_features(operands: Operands) -> Coupling:
    """Pass the axes; features are fixed, for each may have numbers of its own in an attribute."""
    x = operands.axes(0)
    operands.space.fix_all(x[-1:], "features with numbers of their own")
    return Coupling((tuple(map(operands.space.normal, x)),))


def couple_extract(operands: Operands) -> Coupling:
    """Choose features by position."""
    x, chosen = operands.axes(0), operands.axes(1)
    operands.space.fix_all((*x[-1:], *chosen), "features chosen by position")
    count = size_of(operands.space.product(list(chosen)))
    return Coupling(
        (replaced(x, {len(x) - 1: operands.space.fixed(count, "features chosen by position")}),)
    )


def couple_vectorize(operands: Operands) -> Coupling:
    """Lay features end to end."""
    given = [operands.axes(k) for k in range(operands.count)]
    for axes in given:
        operands.space.fix_all(axes, "features laid end to end")
    total: Size = sum((size_of(axes[-1]) for axes in given), 0)
    return Coupling(
        (
            (
                operands.space.normal(given[0][0]),
                operands.space.fixed(total, "features laid end to end"),
            ),
        )
    )


def couple_regressor(operands: Operands) -> Coupling:
    """Fix the features: their coefficients are in an attribute."""
    x = operands.axes(0)
    operands.space.fix_all(x, IN_ATTRIBUTE)
    targets = operands.space.fixed(operands.node.integer("targets", 1), IN_ATTRIBUTE)
    return Coupling(((operands.space.normal(x[0]), targets),))


def couple_classifier(operands: Operands) -> Coupling:
    """Fix the features; two classes may share one row of coefficients."""
    x = operands.axes(0)
    operands.space.fix_all(x, IN_ATTRIBUTE)
    attributes = operands.node.attributes
    labels = attributes.get("classlabels_ints") or attributes.get("classlabels_strings") or ()
    rows = (operands.space.normal(x[0]),)
    return Coupling((rows, (*rows, operands.space.fixed(len(labels), IN_ATTRIBUTE))))


RULES = (
    OpRule(DOMAIN + "LinearRegressor", couple_regressor),
    OpRule(DOMAIN + "LinearClassifier", couple_classifier),
    *(
        OpRule(DOMAIN + op, couple_features)
        for op in ("Scaler", "Normalizer", "Imputer", "Binarizer", "LabelEncoder")
    ),
    OpRule(DOMAIN + "ArrayFeatureExtractor", couple_extract),
    OpRule(DOMAIN + "FeatureVectorizer", couple_vectorize),
)
