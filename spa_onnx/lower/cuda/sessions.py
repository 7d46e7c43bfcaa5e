"""Whole models on the GPU: sessions with ONNX Runtime's CUDA provider, tensors on the device.

With an emulated library of kernels they run on the CPU provider, which then has these kernels.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from spa_onnx.execute.piecewise import run_values, value_of
from spa_onnx.execute.session import FATAL, RefusedError, WholeSession, run_options
from spa_onnx.latency.measure import Run
from spa_onnx.lower.cuda.errors import NoProviderError
from spa_onnx.lower.sizes import Feeds
from spa_onnx.runtime.nvidia_packages import preload_for_provider
from spa_onnx.runtime.packed_kinds import ValueType
from spa_onnx.runtime.session import add_operators

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

Refused = Callable[[str], Exception]
Tensors = Sequence[NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sessions:
    """Where models run.

    Attributes:
        library: with the operators.
        emulated: another one with the operators for CUDA that run on the CPU; None for a GPU.
        threads: that a node on the CPU may use.
    """

    library: Path
    emulated: Path | None
    threads: int = 1

    @staticmethod
    def found(library: Path, emulated: Path | None, threads: int) -> Sessions:
        """Return where models run here.

        Raises:
            NoProviderError: ONNX Runtime was built without CUDA.
        """
        if emulated is None and CUDA not in ort.get_available_providers():
            raise NoProviderError(f"ONNX Runtime {ort.__version__} has no CUDA provider")
        return Sessions(library, emulated, threads)

    @property
    def device(self) -> str:
        """Return where tensors lie, as ONNX Runtime calls it."""
        return "cpu" if self.emulated is not None else "cuda"

    def compute_in(self, values: ValueType) -> bool:
        """Say whether standard operators compute in a type: those for the CPU lack bfloat16."""
        return self.emulated is None or values != ValueType.BFLOAT16

    def open(
        self, model: Path, refused: Refused, *, optimised: bool = True
    ) -> ort.InferenceSession:
        """Open a model as a user would, with our operators.

        Raises:
            NoProviderError: the CUDA provider cannot be loaded.
        """
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = FATAL
        if not optimised:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        providers = [CPU] if self.emulated is not None else [CUDA, CPU]
        if CUDA in providers:
            preload_for_provider(ort)
        try:
            add_operators(options, self.library, self.emulated)
            session = ort.InferenceSession(str(model), options, providers=providers)
        except Exception as failure:  # the runtime's exceptions have no common base of their own
            raise refused(str(failure)) from failure
        if providers[0] not in session.get_providers():
            raise NoProviderError("ONNX Runtime cannot load its CUDA provider")
        return session

    def outputs(self, session: ort.InferenceSession, feeds: Feeds, refused: Refused) -> Tensors:
        """Return the outputs of a model, in host memory."""
        given, names = typed(session, feeds), [entry.name for entry in session.get_outputs()]
        entries = (*session.get_inputs(), *session.get_outputs())
        try:
            if not any("bfloat16" in entry.type for entry in entries):
                return WholeSession(session).run(names, given)
            values = {name: value_of(array) for name, array in given.items()}
            return list(map(array_of, run_values(session, names, values)))
        except RefusedError as failure:
            raise refused(str(failure)) from failure

    def run(self, session: ort.InferenceSession, feeds: Feeds, refused: Refused) -> Run:
        """Return what runs a model once, with inputs and outputs that stay on the device."""
        binding, options = session.io_binding(), run_options()
        placed = {name: self._placed(array) for name, array in typed(session, feeds).items()}
        for name, value in placed.items():
            binding.bind_ortvalue_input(name, value)
        for entry in session.get_outputs():
            is_tensor = entry.type.startswith("tensor(")
            binding.bind_output(entry.name, self.device if is_tensor else "cpu")

        def run(kept: object = placed) -> None:  # values on the processor own their memory
            try:
                session.run_with_iobinding(binding, options)
            except Exception as failure:  # as above
                raise refused(str(failure)) from failure

        return run

    def _placed(self, array: Any) -> ort.OrtValue:
        """Return an input on the device; sequences and strings stay where they are."""
        value = value_of(array)
        if self.device == "cpu" or not value.is_tensor():
            return value
        kind = value.element_type()
        if kind == TensorProto.BFLOAT16:
            there = ort.OrtValue.ortvalue_from_shape_and_type(value.shape(), kind, self.device)
            there.update_inplace(value)
            return there
        if kind == TensorProto.STRING:
            return value
        return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.device)


def typed(session: ort.InferenceSession, feeds: Feeds) -> dict[str, Any]:
    """Return inputs in the types that a model takes; those that were made up are float32."""
    kinds = {entry.name: entry.type for entry in session.get_inputs()}
    return {name: _as(kinds[name], array) for name, array in feeds.items() if name in kinds}


def _as(kind: str, array: Any) -> Any:
    if isinstance(array, list):
        return [_as(kind, part) for part in array]
    half = next((dtype for text, dtype in HALF.items() if f"({text})" in kind), None)
    return array if half is None else array.astype(half)


HALF: Mapping[str, np.dtype[Any]] = {
    name: np.dtype(helper.tensor_dtype_to_np_dtype(TensorProto.DataType.Value(name.upper())))
    for name in ("float16", "bfloat16")
}


def array_of(value: ort.OrtValue) -> NDArray[Any]:
    """Return a value in host memory as an array; ONNX Runtime has none of bfloat16.

    Raises:
        RefusedError: it is no tensor.
    """
    if not value.is_tensor():
        raise RefusedError("sequences beside tensors of bfloat16 cannot be read.")
    if value.element_type() != TensorProto.BFLOAT16:
        return np.array(value.numpy())
    size = prod(value.shape())
    words = (ctypes.c_uint16 * size).from_address(value.data_ptr()) if size else ()
    return np.array(words, np.uint16).view(HALF["bfloat16"]).reshape(tuple(value.shape()))
