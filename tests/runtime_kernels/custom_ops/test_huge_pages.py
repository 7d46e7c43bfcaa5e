"""Large packed weights move onto huge pages where the system has any to give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spa_onnx.runtime.packing import pack_blocks
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.op_models import linear_node, random_weight

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

CHILD = """
import mmap, re, sys
from pathlib import Path
import numpy as np
from spa_onnx.runtime.session import session

def huge():
    text = Path("/proc/self/smaps_rollup").read_text()
    return int(re.search(r"AnonHugePages: *([0-9]+) kB", text)[1]) << 10

tried = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
tried.write(bytes(len(tried)))
try:
    tried.madvise(25)
except OSError:
    sys.exit("none to give")
before = huge()
opened = session(sys.argv[1])
after = huge()
x = np.load(sys.argv[2])
np.save(sys.argv[3], opened.run(None, {"x": x})[0])
print(after - before)
"""


@needs_kernels
@pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(),
    reason="the system has no huge pages, or is told not to use them",
)
def test_large_weights_move_onto_huge_pages(tmp_path: Path) -> None:
    weight = random_weight(2048, 2048)
    model, x, y = (tmp_path / name for name in ("model.onnx", "x.npy", "y.npy"))
    inputs = np.random.default_rng(0).standard_normal((1, 2048), np.float32)
    np.save(x, inputs)
    packed = pack_blocks(weight, 16)
    model.write_bytes(linear_node(weight, packed=packed).model().SerializeToString())
    command = [sys.executable, "-c", CHILD, str(model), str(x), str(y)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "none to give" in done.stderr:
        pytest.skip("the system has no huge page to give")
    assert done.returncode == 0, done.stderr
    assert len(packed) - (4 << 20) < int(done.stdout) <= len(packed)
    np.testing.assert_allclose(np.load(y), inputs @ weight.T, rtol=0, atol=1e-3)
