from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spa_onnx.runtime.session import session
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.op_models import (
    linear_node,
    quiet_options,
    random_input,
    random_weight,
)


@needs_kernels
def test_a_model_is_opened_from_a_path_and_from_bytes(tmp_path: Path) -> None:
    weight, x = random_weight(7, 20), random_input(4, 20)
    model = linear_node(weight, x_shape=("batch", 20)).model()
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    for source in (path, str(path), model.SerializeToString()):
        opened: Any = session(source)
        (y,) = opened.run(None, {"x": x})
        np.testing.assert_allclose(y, x @ weight.T, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_options_reach_onnxruntime() -> None:
    model = linear_node(random_weight(7, 20), x_shape=("batch", 20)).model()
    opened: Any = session(model.SerializeToString(), sess_options=quiet_options(threads=2))
    assert opened.get_session_options().intra_op_num_threads == 2
    assert opened.get_providers() == ["CPUExecutionProvider"]


@needs_kernels
def test_options_serve_one_session_only() -> None:
    model = linear_node(random_weight(7, 20)).model().SerializeToString()
    options = quiet_options()
    session(model, sess_options=options)
    with pytest.raises(Exception, match="Domain already set"):
        session(model, sess_options=options)


def test_importing_the_module_does_not_import_onnxruntime() -> None:
    code = "import sys, spa_onnx.runtime.session; sys.exit('onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
