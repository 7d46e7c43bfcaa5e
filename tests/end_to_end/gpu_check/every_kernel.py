"""Run every kernel once on small layers that fill no tile: what a sanitizer looks at."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import product

from tests.runtime_kernels.cuda.given_layer import GivenLayer, convolution, linear
from tests.runtime_kernels.cuda.oracle import agrees
from tests.runtime_kernels.cuda.packing import few_packings
from tests.runtime_kernels.cuda_library import cuda_library


def layers() -> Iterator[GivenLayer]:
    """Yield layers with and without whole vectors, of few tokens and more, and images."""
    for packing in few_packings():
        for tokens, columns, rows in ((2, 70, 33), (19, 136, 72)):
            is_slow = packing.kind == "bitmask"
            yield linear(packing, min(tokens, 3) if is_slow else tokens, columns, rows)
        if packing.does_planes:
            for size, strides in product(((5, 5), (4, 8)), ((1, 1), (2, 2))):
                yield convolution(packing, (2, 40, *size), 33, strides)


def main() -> None:
    """Run all, and time some."""
    names: set[tuple[str, str, str]] = set()
    for layer in layers():
        made = layer.with_epilogue("gelu")
        wanted = made.expected()
        for name, y in made.runs():
            assert agrees(y, wanted), (name, str(made.packing))
            kind = "planes" if made.strides else "tokens"
            names.add((name, made.packing.values, kind))
        with cuda_library().prepare(made.native, copies=2) as runner:
            runner.time(2)
    print(f"{len(names)} kernels ran")
    if not cuda_library().device().emulated:
        _end_context()


def _end_context() -> None:
    """End what this process has on the device, or the sanitizer cannot tell what leaked."""
    driver = ctypes.CDLL("libcuda.so.1")
    if driver.cuDevicePrimaryCtxReset_v2(cuda_library().index):
        raise RuntimeError("the device's context cannot be ended")


if __name__ == "__main__":
    main()
