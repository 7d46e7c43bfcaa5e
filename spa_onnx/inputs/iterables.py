"""Pieces of calibration inputs out of whatever a user iterates over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from spa_onnx.errors import CalibrationError
from spa_onnx.inputs.batches import Feed, Feeds
from spa_onnx.inputs.check import Checker
from spa_onnx.inputs.signature import Signature


def read_iterable(source: Iterable[Any], checker: Checker) -> Iterator[Feeds]:
    """Yield arrays by input; single items become batches of one.

    Raises:
        CalibrationError: an element is nothing that can be fed; says which.
    """
    for number, element in enumerate(source):
        where = f"calibration element {number}"
        feeds = by_input(element, checker, where)
        yield _with_items(feeds, checker.signature)


def by_input(element: Any, checker: Checker, where: str) -> dict[str, Feed]:
    """Return the arrays of a mapping, a tuple in the order of inputs, or one array.

    Raises:
        CalibrationError: they are none, or too many or too few.
    """
    signature = checker.signature
    if isinstance(element, tuple):
        if len(element) != len(signature.inputs):
            raise CalibrationError(
                f"{where} is a tuple of {len(element)}; the model's inputs are "
                f"{signature.names()}. Yield inputs only: labels are not needed"
            )
        element = dict(zip(signature.inputs, element, strict=True))
    elif not isinstance(element, Mapping):
        if len(signature.inputs) != 1:
            raise CalibrationError(
                f"{where} is one {type(element).__name__}; the model's inputs are "
                f"{signature.names()}. Give a mapping by input name"
            )
        element = {next(iter(signature.inputs)): element}
    checker.names(element)
    return {str(name): as_array(value, f"{where}, {name!r},") for name, value in element.items()}


def as_array(value: Any, where: str) -> Feed:
    """Return numbers as an array.

    Raises:
        CalibrationError: it is something else.
    """
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, MemoryError) as failure:
        raise CalibrationError(
            f"{where} is no array of numbers ({failure}). Give NumPy arrays"
        ) from failure
    if array.dtype.kind not in "fiub" and "float" not in array.dtype.name:
        raise CalibrationError(
            f"{where} holds {array.dtype} ({type(value).__name__}), no numbers. Give NumPy arrays"
        )
    return array


def _with_items(feeds: dict[str, Feed], signature: Signature) -> Feeds:
    """Return a batch; arrays without the axis of items, if all lack it, get one of length one."""
    lacking = [
        spec.items is None or feeds[spec.name].ndim == len(spec.shape) - 1 for spec in signature
    ]
    if not all(lacking):
        return feeds
    return {
        spec.name: feeds[spec.name]
        if spec.items is None
        else np.expand_dims(feeds[spec.name], spec.items)
        for spec in signature
    }
