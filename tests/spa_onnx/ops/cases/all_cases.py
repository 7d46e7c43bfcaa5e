"""Every case of the shared property suite."""

from tests.spa_onnx.ops.cases import (
    attention,
    choosing,
    elementwise,
    layers,
    mixing,
    moving,
    quantised,
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
)
