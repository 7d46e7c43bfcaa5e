"""How a session is opened whose runs are timed."""

from __future__ import annotations

import onnxruntime as ort

from spa_onnx.execute.session import FATAL


def timed_options(threads: int) -> ort.SessionOptions:
    """Return options with the runtime's default optimisations and a fixed number of threads.

    Threads that wait for work stop spinning when a run ends, or they would slow down the next one
    of another model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options
