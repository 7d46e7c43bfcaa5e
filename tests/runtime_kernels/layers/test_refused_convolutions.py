"""What SparseConv's layer says against weights and images that it cannot take."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.layers.direct import (
    Float32Array,
    LayerRefusedError,
    Sweep,
    run_convolution,
)
from tests.runtime_kernels.layers.weights import Packing, random_input

pytestmark = needs_kernels


def refusal(packed: bytes, x: Float32Array, sweep: Sweep) -> str:
    """Return what the library says against a convolution."""
    with pytest.raises(LayerRefusedError) as caught:
        run_convolution(packed, x, 2, sweep)
    return str(caught.value)


def test_weights_that_do_not_fit_the_channels_are_refused() -> None:
    weight = np.ones((2, 18), np.float32)
    packed = Packing("blocks").pack(weight)
    x = random_input(1, 3, 4, 4)
    text = "the packed weight has 18 columns, but 3 channels of 9 taps were given"
    assert refusal(packed, x, Sweep((3, 3))) == text
    text = "the packed weight has 18 columns, but 3 channels of 4 taps were given"
    assert refusal(packed, x, Sweep((2, 2))) == text
    for kind in ("bitmask", "segments"):
        text = "a convolution's packed weight must be of kind blocks"
        assert refusal(Packing(kind).pack(weight), x[:, :2], Sweep((3, 3))) == text


def test_images_too_large_for_offsets_are_refused() -> None:
    # few outputs, but planes of 2^31 bytes and more
    packed = Packing("blocks").pack(np.ones((2, 4), np.float32))
    far = (30_000, 30_000)
    sweep = Sweep((2, 2), far, far, (*far, *far))
    assert "too large for 32-bit offsets" in refusal(packed, random_input(1, 1, 2, 2), sweep)


@pytest.mark.parametrize(
    "sweep", [Sweep((0, 3)), Sweep((3, 0)), Sweep((3, 3), dilations=(1, 0)), Sweep((9, 9))], ids=str
)
def test_windows_without_taps_or_outputs_are_refused(sweep: Sweep) -> None:
    packed = Packing("blocks").pack(np.ones((2, 9), np.float32))

    class Empty(Sweep):
        def output(self, height: int, width: int) -> tuple[int, int]:
            high, wide = super().output(height, width)
            return max(high, 0), max(wide, 0)

    empty = Empty(sweep.kernel, sweep.strides, sweep.dilations, sweep.pads)
    assert "must be at least 1" in refusal(packed, random_input(1, 1, 4, 4), empty)
