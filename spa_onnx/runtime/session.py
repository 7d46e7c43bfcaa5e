"""Open lowered models in ONNX Runtime."""

from __future__ import annotations

from importlib import import_module
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from spa_onnx.runtime.library import library_path

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


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
    library = library_path()
    runtime: Any = import_module("onnxruntime")  # slow to import and untyped
    settings = options.pop("sess_options", None) or runtime.SessionOptions()
    settings.register_custom_ops_library(str(library))
    options.setdefault("providers", ["CPUExecutionProvider"])
    source = model if isinstance(model, bytes) else fspath(model)
    opened: InferenceSession = runtime.InferenceSession(source, sess_options=settings, **options)
    return opened
