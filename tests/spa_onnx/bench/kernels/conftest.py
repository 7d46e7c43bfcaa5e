"""Layers so small that a run takes no time."""

from collections.abc import Sequence

import pytest

from spa_onnx.bench.kernels import measure, shapes
from spa_onnx.bench.kernels.shapes import Convolution, Group, Linear

TINY = (
    Group("points", [Convolution(16, 32, 5), Convolution(24, 8, 3)], ("4x1",), 0),
    Group("squares", [Convolution(16, 16, 4, 3)], ("unstructured",), 0),
    Group("many", [Linear(20, 48, 32)], ("16x1",), 0, together="tokens"),
    Group("more", [Linear(33, 40, 24)], ("8x1",), 0, together="tokens"),
    Group("one", [Linear(1, 64, 48)], ("unstructured", "1x16", "2:4"), 0),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Sequence[Group]:
    """Replace the groups, and the cache that their copies have to fill."""
    monkeypatch.setattr(shapes, "GROUPS", TINY)
    monkeypatch.setattr(measure, "second_level_cache", lambda: 4096)
    monkeypatch.setattr(measure, "TUNING_ROUNDS", 2)
    monkeypatch.setattr(measure, "TUNING_SECONDS", 0.0)
    monkeypatch.setattr(measure, "ROUND_SECONDS", 0.0)
    return TINY
