"""Read how a convolution moves: attributes, defaults, and padding that ONNX computes itself."""

from __future__ import annotations

from collections.abc import Sequence

from spa_onnx.graph.node import Node
from spa_onnx.lower.layer import Window
from spa_onnx.lower.view import View


class NoWindowError(Exception):
    """A convolution that is none of those that are lowered; carries the reason."""


def read_window(view: View, node: Node, weight: tuple[int, ...]) -> Window:
    """Return how a convolution over pictures moves.

    Raises:
        NoWindowError: it does not, or not in a way that is known before it runs.
    """
    if len(weight) != 4:
        raise NoWindowError(f"it has {len(weight) - 2} axes of space, not 2")
    kernel = weight[2], weight[3]
    strides, dilations = node.ints("strides", [1, 1]), node.ints("dilations", [1, 1])
    pads = node.ints("pads", [0, 0, 0, 0])
    if tuple(node.ints("kernel_shape", list(kernel))) != kernel or len(pads) != 4:
        raise NoWindowError("its attributes contradict its weight")
    if len(strides) != 2 or len(dilations) != 2:
        raise NoWindowError("its attributes contradict its weight")
    if min(pads) < 0:
        raise NoWindowError("it has negative padding")
    mode = node.text("auto_pad", "NOTSET")
    if mode == "VALID":
        pads = [0, 0, 0, 0]
    elif mode != "NOTSET":
        pads = _same(view, node, kernel, strides, dilations, lower=mode == "SAME_LOWER")
    top, left, bottom, right = pads
    return Window(
        kernel,
        (strides[0], strides[1]),
        (top, left, bottom, right),
        (dilations[0], dilations[1]),
        node.integer("group", 1),
    )


def check_point(window: Window) -> None:
    """Refuse convolutions that see more than one place of the input at a time.

    Raises:
        NoWindowError: it is such a one, or has padding or groups.
    """
    if window != Window((1, 1), window.strides, (0, 0, 0, 0), (1, 1), 1):
        raise NoWindowError(
            "kernels for CUDA do convolutions of 1 x 1 only, without padding, dilation and groups"
        )


def _same(
    view: View,
    node: Node,
    kernel: tuple[int, int],
    strides: Sequence[int],
    dilations: Sequence[int],
    *,
    lower: bool,
) -> list[int]:
    """Return the padding that gives a result of the input's size over the strides.

    Source: ONNX operator specification, Conv-11, ``auto_pad``.
    """
    sizes = view.sizes(node.inputs[0])
    before, after = [], []
    for k in range(2):
        reach = (kernel[k] - 1) * dilations[k] + 1
        if strides[k] == 1:
            total = reach - 1
        else:
            length = sizes[2 + k] if sizes is not None and len(sizes) == 4 else None
            if not isinstance(length, int):
                raise NoWindowError("its padding depends on the size of its input")
            total = max(0, (-(-length // strides[k]) - 1) * strides[k] + reach - length)
        before.append(total - total // 2 if lower else total // 2)
        after.append(total - before[-1])
    return before + after
