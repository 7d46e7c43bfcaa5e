"""Time a sparse layer on a GPU against cuBLASLt's dense one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.check import check
from spa_onnx.bench.kernels.cuda.gpu import Gpu
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import NUMBER, CudaRow
from spa_onnx.bench.kernels.cuda.turns import TURN, FloatArray, copies_of, in_turns
from spa_onnx.bench.kernels.cuda.weights import drawn_input, drawn_weight
from spa_onnx.bench.kernels.shapes import Convolution
from spa_onnx.lower.cuda.ways import CUSPARSELT
from spa_onnx.runtime.cuda import CudaDevice, CudaLayer, Half

TUNING_ROUNDS = 3
"""In which kernels of a layer have a turn, of which one is chosen or all are asked for."""

OURS, DENSE = "sparse", "dense"


@dataclass(frozen=True, slots=True)
class Race:
    """A layer beside the dense product of its sizes, in turns.

    Attributes:
        sparse: seconds of a run of ours, ``(rounds,)``.
        dense: seconds of a dense one, ``(rounds,)``.
        copies: of ours on the device, and of the dense one.
    """

    sparse: FloatArray
    dense: FloatArray
    copies: tuple[int, int]

    @property
    def ratios(self) -> FloatArray:
        """Return how many times faster ours is, round by round."""
        ratios: FloatArray = self.dense / self.sparse
        return ratios


def race(gpu: Gpu, device: CudaDevice, layer: CudaLayer, rounds: int, turn: float = TURN) -> Race:
    """Time a layer and cuBLASLt's product; that of a convolution is the one with channels last.

    Raises:
        CudaError: cuBLASLt is missing, or the device refuses the layer or does not hold it.
    """
    rows, columns = layer.rows, layer.columns
    values: Half = "float16" if layer.x.dtype == np.float16 else "bfloat16"
    copies = sparse_copies(layer, device)
    dense_copies = copies_of(NUMBER * rows * columns + tensor_bytes(layer), device)
    with ExitStack() as stack:
        ours = stack.enter_context(closing(gpu.prepare(layer, copies)))
        product = gpu.prepare_dense(rows, columns, positions_of(layer), values, dense_copies)
        dense = stack.enter_context(closing(product))
        runners = {OURS: (ours, copies), DENSE: (dense, dense_copies)}
        seconds = in_turns(runners, rounds, turn)
    return Race(seconds[OURS], seconds[DENSE], (copies, dense_copies))


def tried(
    gpu: Gpu, device: CudaDevice, layer: CudaLayer, kernels: Sequence[str], turn: float = TURN
) -> dict[str, float]:
    """Return the least seconds of kernels in a few turns."""
    copies = sparse_copies(layer, device)
    found = {}
    for name in kernels:
        with closing(gpu.prepare(replace(layer, kernel=name), copies)) as runner:
            seconds = in_turns({name: (runner, copies)}, TUNING_ROUNDS, turn / 2)
        found[name] = float(np.min(seconds[name]))
    return found


def contenders(kernels: Sequence[str]) -> list[str]:
    """Return the kernel that the library chooses, and cuSPARSELt's where it is there.

    Of these lowering takes the faster one.
    """
    return [*kernels[:1], *(name for name in kernels[1:] if name == CUSPARSELT)]


def with_fastest_kernel(
    gpu: Gpu, device: CudaDevice, layer: CudaLayer, turn: float = TURN
) -> CudaLayer:
    """Return a layer with the kernel that it would be lowered to."""
    names = contenders(gpu.kernels(layer))
    times = tried(gpu, device, layer, names, turn) if len(names) > 1 else {names[0]: 0.0}
    return replace(layer, kernel=min(names, key=lambda name: times[name]))


def positions_of(layer: CudaLayer) -> int:
    """Return the tokens or pixels of a layer."""
    return math.prod(layer.y_shape) // layer.rows


def tensor_bytes(layer: CudaLayer) -> int:
    """Return the bytes of input and output."""
    return NUMBER * (layer.x.size + math.prod(layer.y_shape))


def sparse_copies(layer: CudaLayer, device: CudaDevice) -> int:
    """Return in how many copies a layer does not stay in the cache."""
    return copies_of(len(layer.packed) + tensor_bytes(layer), device)


@dataclass(frozen=True, slots=True)
class CudaBench:
    """How layers are timed.

    Attributes:
        gpu: runs them.
        device: what it is.
        rounds: in which ours and the dense one take turns.
        every_kernel: time all kernels that can run a layer, too.
        turn: seconds of a turn.
    """

    gpu: Gpu
    device: CudaDevice
    rounds: int = 9
    every_kernel: bool = False
    turn: float = TURN

    def rows(self, cases: Sequence[CudaCase], roofline: CudaRoofline) -> Iterator[CudaRow]:
        """Yield what came of cases, those of one weight together.

        Raises:
            WrongOutputError: an output is wrong.
            CudaError: the device refuses a layer, or does not hold it.
        """
        for case in sorted(cases, key=lambda case: case.weight):
            yield self.row(case, roofline)

    def row(self, case: CudaCase, roofline: CudaRoofline) -> CudaRow:
        """Return how long a layer takes, by the kernel that it would be lowered to.

        Raises:
            WrongOutputError: an output is wrong.
            CudaError: the device refuses the layer, or does not hold it.
        """
        shape, values = case.layer, case.values
        weight = drawn_weight(shape.rows, shape.columns, case.pattern, case.sparsity, values)
        x = drawn_input(shape.x_shape, values)
        strides = (1, 1) if isinstance(shape, Convolution) else None
        layer = CudaLayer(weight.packed, x, strides=strides)
        kernels = self.gpu.kernels(layer)
        names = list(kernels) if self.every_kernel else contenders(kernels)
        for name in names:
            check(str(case), name, weight, x, self.gpu.run(replace(layer, kernel=name)))
        times = tried(self.gpu, self.device, layer, names, self.turn) if len(names) > 1 else {}
        kernel = min(contenders(kernels), key=lambda name: times.get(name, 0.0))
        timed = replace(layer, kernel=kernel)
        found = race(self.gpu, self.device, timed, self.rounds, self.turn)
        return CudaRow(
            case,
            kernel,
            float(np.median(found.sparse)),
            float(np.median(found.dense)),
            tuple(map(float, found.ratios)),
            weight.stored,
            len(weight.packed),
            found.copies,
            roofline,
            times,
        )
