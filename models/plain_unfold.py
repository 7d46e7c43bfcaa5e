"""Sliding windows by plain indexing, which both of PyTorch's exporters know.

The legacy exporter refuses ``Tensor.unfold`` where it does not know the length, as behind a Pad.
The windows are the same tensor either way.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def windows(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return what ``x.unfold(dimension, size, step)`` does: windows, their elements last."""
    dimension %= x.ndim
    count = (int(x.shape[dimension]) - size) // step + 1
    places = torch.arange(count)[:, None] * step + torch.arange(size)
    taken = x.index_select(dimension, places.flatten())
    shape = (*x.shape[:dimension], count, size, *x.shape[dimension + 1 :])
    return taken.reshape(shape).movedim(dimension + 1, -1)


@contextmanager
def plain_unfold() -> Iterator[None]:
    """Let ``Tensor.unfold`` index while the block runs."""
    original = Tensor.unfold
    # the method has two signatures, and models call it with positional arguments alone
    Tensor.unfold = windows  # type: ignore[method-assign]
    try:
        yield
    finally:
        Tensor.unfold = original  # type: ignore[method-assign]
