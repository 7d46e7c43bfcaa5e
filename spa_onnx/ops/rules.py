"""The list of all operators that the compiler knows. An operator without a line stops pruning."""

from __future__ import annotations

from spa_onnx.ops import (
    attention,
    classical,
    comparing,
    contraction,
    convolution,
    elementwise,
    expanding,
    fused,
    gathering,
    joining,
    mixture,
    normalisation,
    pooling,
    quantised,
    recurrent,
    reduction,
    resampling,
    reshaping,
    sequences,
    slicing,
    spectral,
)
from spa_onnx.ops.rule import OpRule

RULES: dict[str, OpRule] = {
    rule.op: rule
    for family in (
        attention,
        classical,
        comparing,
        contraction,
        convolution,
        elementwise,
        expanding,
        fused,
        gathering,
        joining,
        mixture,
        normalisation,
        pooling,
        quantised,
        recurrent,
        reduction,
        resampling,
        reshaping,
        sequences,
        slicing,
        spectral,
    )
    for rule in family.RULES
}
