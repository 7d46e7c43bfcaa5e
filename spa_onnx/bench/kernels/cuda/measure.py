"""Time a sparse layer on a GPU against cuBLASLt's dense one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace

import numpy as np

from spa_onnx.bench.kernels.cuda.cases import CudaCase
from spa_onnx.bench.kernels.cuda.check import check
from spa_onnx.bench.kernels.cuda.gpu import Gpu, Timed
from spa_onnx.bench.kernels.cuda.roofline import CudaRoofline
from spa_onnx.bench.kernels.cuda.timing import NUMBER, CudaRow
from spa_onnx.bench.kernels.cuda.turns import TURN, copies_of, in_turns
from spa_onnx.bench.kernels.cuda.weights import drawn_input, drawn_weight
from spa_onnx.bench.kernels.shapes import Convolution, Layer
from spa_onnx.runtime.cuda import CudaDevice, CudaLayer

TUNING_ROUNDS = 3
"""In which every kernel of a layer has a turn, where that is asked for."""

OURS, DENSE = "sparse", "dense"


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
        copies = copies_of(len(weight.packed) + tensor_bytes(shape), self.device)
        dense_copies = copies_of(dense_bytes(shape), self.device)
        with ExitStack() as stack:
            ours = stack.enter_context(closing(self.gpu.prepare(layer, copies)))
            dense = stack.enter_context(closing(self.dense(case, dense_copies)))
            runners = {OURS: (ours, copies), DENSE: (dense, dense_copies)}
            seconds = in_turns(runners, self.rounds, self.turn)
        return CudaRow(
            case,
            kernels[0],
            float(np.median(seconds[OURS])),
            float(np.median(seconds[DENSE])),
            tuple(map(float, seconds[DENSE] / seconds[OURS])),
            weight.stored,
            len(weight.packed),
            (copies, dense_copies),
            roofline,
            self.tried(layer, kernels, copies) if self.every_kernel else {},
        )

    def dense(self, case: CudaCase, copies: int) -> Timed:
        """Return the dense product of a layer; a convolution's is that with channels last."""
        layer = case.layer
        return self.gpu.prepare_dense(
            layer.rows, layer.columns, layer.positions, case.values, copies
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


def tensor_bytes(layer: Layer) -> int:
    """Return the bytes of input and output."""
    return NUMBER * (math.prod(layer.x_shape) + math.prod(layer.y_shape))


def dense_bytes(layer: Layer) -> int:
    """Return the bytes of weight, input and output."""
    return NUMBER * layer.rows * layer.columns + tensor_bytes(layer)
