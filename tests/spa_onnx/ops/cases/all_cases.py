"""Every case of the shared property suite."""

from tests.spa_onnx.ops.cases import (
    attention,
    attention_forms,
    choosing,
    classical,
    contrib,
    elementwise,
    integer_forms,
    layers,
    mixing,
    mixtures,
    moving,
    quantised,
    rarer,
    sequences,
    spectral,
)
from tests.spa_onnx.ops.cases.case import Case

CASES: tuple[Case, ...] = (
    *elementwise.CASES,
    *layers.CASES,
    *mixing.CASES,
    *moving.CASES,
    *choosing.CASES,
    *attention.CASES,
    *quantised.CASES,
    *attention_forms.CASES,
    *integer_forms.CASES,
    *contrib.CASES,
    *mixtures.CASES,
    *classical.CASES,
    *spectral.CASES,
    *sequences.CASES,
    *rarer.CASES,
)
