"""Inputs of the small networks, and the type of their lists."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

BATCH = 2

WIDTH = 16


def image(size: int, channels: int = 3) -> Callable[[], dict[str, Tensor]]:
    """Return a maker of square images."""
    return lambda: {"image": torch.randn(BATCH, channels, size, size)}


Networks = dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Tensor]]]]
"""By name, makers of a network and of its inputs."""
