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
from spa_onnx.runtime.cuda import CudaDevice, CudaLayer, Half

TUNING_ROUNDS = 3
"""In which every kernel of a layer has a turn, where that is asked for."""

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
    positions = math.prod(layer.y_shape) // rows
    values: Half = "float16" if layer.x.dtype == np.float16 else "bfloat16"
    tensors = NUMBER * positions * (rows + columns)
    copies = copies_of(len(layer.packed) + tensors, device)
    dense_copies = copies_of(NUMBER * rows * columns + tensors, device)
    with ExitStack() as stack:
        ours = stack.enter_context(closing(gpu.prepare(layer, copies)))
        product = gpu.prepare_dense(rows, columns, positions, values, dense_copies)
        dense = stack.enter_context(closing(product))
        runners = {OURS: (ours, copies), DENSE: (dense, dense_copies)}
        seconds = in_turns(runners, rounds, turn)
    return Race(seconds[OURS], seconds[DENSE], (copies, dense_copies))


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
        """Return how long a layer takes, by the kernel that the library chooses.

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
        for name in kernels if self.every_kernel else kernels[:1]:
            check(str(case), name, weight, x, self.gpu.run(replace(layer, kernel=name)))
        found = race(self.gpu, self.device, layer, self.rounds, self.turn)
        tried = self.tried(layer, kernels, found.copies[0]) if self.every_kernel else {}
        return CudaRow(
            case,
            kernels[0],
            float(np.median(found.sparse)),
            float(np.median(found.dense)),
            tuple(map(float, found.ratios)),
            weight.stored,
            len(weight.packed),
            found.copies,
            roofline,
            tried,
        )

    def tried(self, layer: CudaLayer, kernels: Sequence[str], copies: int) -> dict[str, float]:
        """Return the least seconds of every kernel."""
        found = {}
        for name in kernels:
            runner = self.gpu.prepare(replace(layer, kernel=name), copies)
            with closing(runner):
                seconds = in_turns({name: (runner, copies)}, TUNING_ROUNDS, self.turn / 2)
            found[name] = float(np.min(seconds[name]))
        return found
