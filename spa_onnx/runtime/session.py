"""Open lowered models in ONNX Runtime."""

from __future__ import annotations

from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spa_onnx.runtime.library import library_path

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

THREADS_ENTRY = "ai.spa.intra_op_num_threads"
"""Key of a session's configuration that ``runtime_kernels/abi/register.cc`` reads."""


def add_operators(settings: Any, library: Path | None = None) -> None:
    """Register the ``ai.spa`` operators with the options of one session.

    Args:
        settings: ``onnxruntime.SessionOptions``; how many threads it asks for must be set before,
            since layers are cut into tasks by it.
        library: with the operators, if not that of the package.

    Raises:
        KernelsMissingError: if the native library was not built.
    """
    path = library or library_path()
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
    """
    runtime: Any = import_module("onnxruntime")  # slow to import and untyped
    settings = options.pop("sess_options", None) or runtime.SessionOptions()
    add_operators(settings)
    options.setdefault("providers", ["CPUExecutionProvider"])
    source = model if isinstance(model, bytes) else fspath(model)
    opened: InferenceSession = runtime.InferenceSession(source, sess_options=settings, **options)
    return opened
