"""Open lowered models in ONNX Runtime."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa_onnx.errors import ModelError
from spa_onnx.runtime.library import CUDA_VARIABLE, cuda_library_path, library_path
from spa_onnx.runtime.nvidia_packages import preload_for_provider

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

THREADS_ENTRY = "ai.spa.intra_op_num_threads"
CUDA_ENTRY = "ai.spa.cuda_library"
"""Keys of a session's configuration that ``runtime_kernels/abi/register.cc`` reads."""

CUDA = "CUDAExecutionProvider"


class CudaModelError(ModelError):
    """A model that was lowered for CUDA, in a session that has none."""

    def __init__(self, asked: Sequence[str], available: Sequence[str]) -> None:
        super().__init__(
            f"the model was lowered for CUDA, and this session cannot use it: its providers are "
            f"{', '.join(asked)}, those of this ONNX Runtime {', '.join(available)}. Have "
            f"onnxruntime-gpu installed and pass providers=[{CUDA!r}, 'CPUExecutionProvider'], or "
            "lower the dense model with --target cpu"
        )


def add_operators(
    settings: Any, library: Path | None = None, cuda_library: Path | None = None
) -> None:
    """Register the ``ai.spa`` operators with the options of one session.

    Args:
        settings: ``onnxruntime.SessionOptions``; how many threads it asks for must be set before,
            since layers are cut into tasks by it.
        library: with the operators, if not that of the package.
        cuda_library: with those for CUDA, if not the one beside it, which is used where the
            provider is; ``SPA_ONNX_CUDA_KERNELS`` names another one too.

    Raises:
        KernelsMissingError: if the native library was not built.
        CudaKernelsMissingError: if there is no file of the name in the environment.
    """
    path = library or library_path()
    if cuda_library is None and os.environ.get(CUDA_VARIABLE):
        cuda_library = cuda_library_path()
    if cuda_library is not None:
        settings.add_session_config_entry(CUDA_ENTRY, str(cuda_library))
    if settings.intra_op_num_threads > 0:
        settings.add_session_config_entry(THREADS_ENTRY, str(settings.intra_op_num_threads))
    settings.register_custom_ops_library(str(path))


def session(model: str | PathLike[str] | bytes, **options: Any) -> InferenceSession:
    """Return a session that knows the ``ai.spa`` operators.

    Args:
        model: a path, or the bytes of a model.
        options: passed on to ``onnxruntime.InferenceSession``. ``sess_options`` gains the
            operators and serves one session, since ONNX Runtime refuses a domain that it has
            been given before; ``providers`` is the CPU unless given.

    Raises:
        KernelsMissingError: if the native library was not built.
        CudaModelError: if the model was lowered for CUDA, and the session cannot use it.
        CudaKernelsMissingError: if it could, but there is no library with kernels for it.
    """
    runtime: Any = import_module("onnxruntime")  # slow to import and untyped
    settings = options.pop("sess_options", None) or runtime.SessionOptions()
    add_operators(settings)
    options.setdefault("providers", ["CPUExecutionProvider"])
    source = model if isinstance(model, bytes) else fspath(model)
    if CUDA in map(_name_of, options["providers"]):
        preload_for_provider(runtime)
    try:
        opened: InferenceSession = runtime.InferenceSession(
            source, sess_options=settings, **options
        )
    except Exception as failure:  # the runtime's exceptions have no common base of their own
        if NO_KERNEL.search(str(failure)):
            available = runtime.get_available_providers()
            _explain(failure, list(map(_name_of, options["providers"])), available)
        raise
    return opened


NO_KERNEL = re.compile(
    r"Type 'tensor\(b?float16\)' of input .* \(Sparse(Linear|Conv)\)"
    r"|Could not find an implementation for Sparse(Linear|Conv)"
    r"|packed weight: .* for CUDA; give the session the CUDA provider"
)
"""What sessions say of operators that only the library for CUDA has. In the last case the runtime
has widened them to float32, since it found no place for them but the CPU."""


def _explain(failure: Exception, asked: Sequence[str], available: Sequence[str]) -> None:
    """Raise what a user can do about operators for which there is no kernel."""
    if CUDA not in asked or CUDA not in available:
        raise CudaModelError(asked, available) from failure
    cuda_library_path()


def _name_of(provider: Any) -> str:
    """Return the name of a provider, which may come with its options."""
    return provider if isinstance(provider, str) else str(provider[0])
