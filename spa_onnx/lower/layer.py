"""A layer that can be lowered: its weight, its geometry, and the nodes that its kernel replaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spa_onnx.lower.activations import Activation
from spa_onnx.runtime.packed_kinds import ValueType

NO_ACTIVATION = Activation()

Kind = Literal["linear", "conv", "depthwise"]


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution moves over a picture.

    Attributes:
        kernel: height and width.
        strides: down and right.
        pads: top, left, bottom, right.
        dilations: down and right.
        group: parts of the channels that do not see each other.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    group: int


@dataclass(frozen=True, slots=True)
class Step:
    """Arithmetic by output behind the product, folded into weight and bias.

    Attributes:
        op: which; ``normalise`` has scale, offset, mean and variance as tensors.
        tensors: stored ones.
        factor: of ``add``, what the tensor is multiplied by; of ``normalise``, its epsilon.
    """

    op: Literal["add", "multiply", "normalise"]
    tensors: tuple[str, ...]
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class WeightSource:
    """Where a layer's matrix comes from; equal sources give equal matrices.

    Attributes:
        tensor: the stored weight.
        is_transposed: it is ``(inputs, outputs)``.
        factor: what it is multiplied by.
        scaled_by: steps whose scales are folded in.
        group: of a convolution.
    """

    tensor: str
    is_transposed: bool = False
    factor: float = 1.0
    scaled_by: tuple[Step, ...] = ()
    group: int = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """A product with a stored weight and what follows it.

    Attributes:
        kind: what it is.
        label: of the product's node.
        nodes: indices of all nodes that one operator replaces, the product first.
        x: what is multiplied.
        y: what comes out in the end.
        shape: of the weight as a matrix ``(outputs, inputs)``; of a depthwise one
            ``(channels, taps)``.
        source: of the matrix.
        window: of a convolution.
        steps: behind the product, in order; biases of the product itself among them.
        residual: tensor of the result's shape that is added; "" for none.
        activation: applied last.
        values: type of its tensors and its packed weight.
    """

    kind: Kind
    label: str
    nodes: tuple[int, ...]
    x: str
    y: str
    shape: tuple[int, int]
    source: WeightSource
    window: Window | None = None
    steps: tuple[Step, ...] = ()
    residual: str = ""
    activation: Activation = NO_ACTIVATION
    values: ValueType = ValueType.FLOAT32

    def rounded(self, numbers: NDArray[np.float32]) -> NDArray[Any]:
        """Return numbers in the type of the layer's tensors."""
        return numbers.astype(self.values.dtype)

    @property
    def place(self) -> int:
        """Return the index of the last node, where all inputs exist."""
        return max(self.nodes)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A product that stays dense.

    Attributes:
        node: its label.
        reason: why.
    """

    node: str
    reason: str
