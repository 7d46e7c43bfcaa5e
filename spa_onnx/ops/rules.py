"""The list of all operators that the compiler knows. An operator without a line stops pruning."""

from __future__ import annotations

from spa_onnx.ops import (
    contraction,
    convolution,
    elementwise,
    expanding,
    gathering,
    joining,
    normalisation,
    pooling,
    recurrent,
    reduction,
    resampling,
    reshaping,
    slicing,
)
from spa_onnx.ops.rule import OpRule

RULES: dict[str, OpRule] = {
    rule.op: rule
    for family in (
        contraction,
        convolution,
        elementwise,
        expanding,
        gathering,
        joining,
        normalisation,
        pooling,
        recurrent,
        reduction,
        resampling,
        reshaping,
        slicing,
    )
    for rule in family.RULES
}
