"""Every case of the shared property suite."""

from tests.spa_onnx.ops.cases import choosing, elementwise, layers, mixing, moving
from tests.spa_onnx.ops.cases.case import Case

CASES: tuple[Case, ...] = (
    *elementwise.CASES,
    *layers.CASES,
    *mixing.CASES,
    *moving.CASES,
    *choosing.CASES,
)
