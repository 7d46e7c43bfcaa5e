"""Nodes that no session may be opened with: the error names operator, node and problem."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from spa_onnx.runtime.session import CudaModelError
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.native_texts import native_text
from tests.runtime_kernels.op_models import (
    OneNode,
    conv_node,
    linear_node,
    open_quietly,
    random_weight,
)
from tests.spa_onnx.runtime.broken_weights import BLOCKS, BROKEN, TILES, Broken

pytestmark = needs_kernels

Make = Callable[..., OneNode]


def a_linear_node(**settings: Any) -> OneNode:
    return linear_node(random_weight(5, 20), **settings)


def a_conv_node(**settings: Any) -> OneNode:
    return conv_node(random_weight(6, 3, 3, 3), **settings)


each_op = pytest.mark.parametrize("make", [a_linear_node, a_conv_node])


def assert_refused(node: OneNode, text: str) -> None:
    with pytest.raises(Exception, match=f"ai.spa::{node.op} 'layer7': .*" + re.escape(text)):
        open_quietly(node)


@each_op
def test_a_weight_that_is_not_constant_is_refused(make: Make) -> None:
    text = "input 1, the packed weight, must be a constant initializer"
    assert_refused(make(is_constant=False), text)


@each_op
@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.name)
def test_a_broken_weight_is_refused_with_its_problem(make: Make, broken: Broken) -> None:
    assert_refused(make(packed=broken.packed), native_text(broken))


@each_op
def test_a_sound_weight_of_other_rows_is_refused(make: Make) -> None:
    assert_refused(make(packed=BLOCKS), ", but the packed weight has 4 rows")


@each_op
def test_a_weight_for_cuda_is_refused_on_the_cpu(make: Make) -> None:
    text = "packed weight: kind 4 (tiles) is for CUDA; give the session the CUDA provider, or lower"
    with pytest.raises(CudaModelError, match="lowered for CUDA") as caught:
        open_quietly(make(packed=TILES))
    assert "'layer7': " + text in str(caught.value.__cause__)


NUMBERS = (-1, 0, 4, 7, 2**31, 2**63 - 1, -(2**63))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_attribute_for_rows_must_be_the_rows(number: int) -> None:
    text = f"attribute out_features is {number}, but the packed weight has 5 rows"
    assert_refused(a_linear_node(out_features=number), text)
    text = f"attribute out_channels is {number}, but the packed weight has 6 rows"
    assert_refused(a_conv_node(out_channels=number), text)


@each_op
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"activation": "tanh"}, "activation 'tanh' is none of none, relu, clip, gelu, gelu_tanh"),
        ({"activation": ""}, "activation '' is none of"),
        ({"activation": "Relu"}, "activation 'Relu' is none of"),
        ({"activation": "x" * 100}, "attribute activation has 100 characters"),
        ({"activation": 1}, "attribute activation is of another type"),
        ({"activation": 1.0}, "attribute activation is of another type"),
        ({"tile": -1}, "attribute tile is -1, expected 0 to 1024"),
        ({"tile": 1025}, "attribute tile is 1025, expected"),
        ({"tile": 2**63 - 1}, "attribute tile is 9223372036854775807, expected"),
        ({"tile": 2.0}, "attribute tile is of another type"),
        ({"tile": "2"}, "attribute tile is of another type"),
        ({"tile": [1, 2]}, "attribute tile is of another type"),
        ({"clip_min": 1}, "attribute clip_min is of another type"),
        ({"clip_max": "1"}, "attribute clip_max is of another type"),
    ],
)
def test_attributes_of_every_op_are_checked(
    make: Make, settings: dict[str, Any], text: str
) -> None:
    assert_refused(make(**settings), text)


@pytest.mark.parametrize("wrong", [None, "5", 5.0])
def test_rows_must_be_given_as_an_int(wrong: object) -> None:
    assert_refused(a_linear_node(out_features=wrong), "the attribute out_features is missing")
    assert_refused(a_conv_node(out_channels=wrong), "the attribute out_channels is missing")


HUGE = 2**63 - 1
WINDOWS: list[tuple[str, Any]] = [
    *((name, [*pair]) for name in ("kernel_shape", "strides", "dilations") for pair in (
        (), (3,), (3, 3, 3), (0, 1), (1, -1), (2**15 + 1, 1), (2**31, 2**31), (HUGE, HUGE),
        (-HUGE - 1, 1),
    )),
    *(("pads", [*four]) for four in (
        (), (1,), (1, 1), (0,) * 5, (-1, 0, 0, 0), (0, 0, 0, 2**15 + 1), (HUGE,) * 4,
    )),
    *((name, [1.5, 1.5]) for name in ("kernel_shape", "pads")),
    ("strides", 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "numbers"), WINDOWS)
@pytest.mark.parametrize("x_shape", [None, (1, 3, 9, 9)])
def test_windows_must_have_two_sound_numbers_an_axis(
    name: str, numbers: Any, x_shape: tuple[int, ...] | None
) -> None:
    assert_refused(a_conv_node(**{name: numbers}, x_shape=x_shape), f"attribute {name} is ")


@pytest.mark.parametrize("name", ["kernel_shape", "strides", "dilations", "pads"])
@pytest.mark.parametrize("numbers", [None, [1] * 17, [1] * 1000])
def test_windows_must_be_there_and_not_endless(name: str, numbers: list[int] | None) -> None:
    assert_refused(a_conv_node(**{name: numbers}), f"the attribute {name} is missing or")


@pytest.mark.parametrize("kernel", [(3, 2), (1, 28), (2**15, 2**15)])
def test_the_window_must_divide_the_columns(kernel: tuple[int, int]) -> None:
    text = f"the packed weight has 27 columns, but {27 // (kernel[0] * kernel[1])} channels of"
    assert_refused(a_conv_node(kernel_shape=[*kernel]), text)
