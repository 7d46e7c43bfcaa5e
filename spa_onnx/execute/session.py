"""One ONNX Runtime session: weights are taken from where they lie, never copied by us."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.store import WeightStore, is_external

Feed = NDArray[Any] | list[NDArray[Any]]
"""What one input gets: a tensor, or the tensors of a sequence."""
Feeds = Mapping[str, Feed]
FOLDER_OPTION = "session.model_external_initializers_file_folder_path"
THREADS = "OMP_NUM_THREADS"
"""Environment variable that limits threads, as it does those of numpy's linear algebra."""
MOST_THREADS = 1024
FATAL = 4
"""ONNX Runtime's highest log level; its errors come back as exceptions anyway."""


class RefusedError(Exception):
    """ONNX Runtime does not run a model; carries its words."""


class NotLoadedError(RefusedError):
    """ONNX Runtime does not even load a model, whatever its inputs."""


class Session(Protocol):
    """A model that can be run."""

    @property
    def pieces(self) -> int:
        """Return the number of pieces that it is run in."""
        ...

    def run(self, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """Return the named outputs.

        Raises:
            RefusedError: ONNX Runtime fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class WholeSession:
    """A model in one session of ONNX Runtime."""

    session: ort.InferenceSession
    pieces: int = 1

    def run(self, outputs: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """Return the named outputs."""
        try:
            found = self.session.run(list(outputs), dict(feeds), run_options())
        except Exception as failure:  # the runtime's exceptions have no common base of their own
            raise RefusedError(str(failure)) from failure
        return list(map(numbers_of, found))


def numbers_of(value: Any) -> NDArray[Any]:
    """Return a tensor as it is; a sequence, map or optional value as the numbers that it holds."""
    if isinstance(value, list):
        parts = [numbers_of(item).reshape(-1) for item in value]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
    if isinstance(value, dict):
        return numbers_of(list(value.values()))
    return np.zeros(0, np.float32) if value is None else np.asarray(value)


def create_session(
    model: onnx.ModelProto, weights: WeightStore, *, frugal: bool = False
) -> ort.InferenceSession:
    """Open a session of a skeleton with graph optimisations off; changes models in memory.

    With inner tensors exposed, fusions refuse valid graphs, and the proof is about the graph as
    written. A ``frugal`` session gives memory back as soon as a tensor is read for the last time.

    Raises:
        NotLoadedError: ONNX Runtime refuses the model.
    """
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = FATAL
    options.intra_op_num_threads = threads_wanted()
    options.add_session_config_entry("session.disable_prepacking", "1")
    if frugal:
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    if weights.folder is not None:
        options.add_session_config_entry(FOLDER_OPTION, str(weights.folder))
    else:
        _inline(model, weights)
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as failure:  # as above
        raise NotLoadedError(str(failure)) from failure


def threads_wanted() -> int:
    """Return how many threads a node may use; 0, one a core, where the user says nothing of it."""
    text = os.environ.get(THREADS, "")
    return min(int(text[:5]), MOST_THREADS) if text.isdecimal() else 0


def run_options() -> ort.RunOptions:
    """Return options of a run that says nothing but what it raises."""
    options = ort.RunOptions()
    options.log_severity_level = FATAL
    return options


def _inline(model: onnx.ModelProto, weights: WeightStore) -> None:
    """Put weights of a model in memory back into it: bodies cannot read them from elsewhere."""
    for tensor in all_tensors(model):
        if is_external(tensor):
            place = weights.place(tensor)
            tensor.raw_data = b"".join(map(bytes, place.chunks()))
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
