"""Memory of a model whose packed weights lie in a file beside it: they are used where they lie."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from spa_onnx.runtime.packing import pack_bitmask, pack_blocks
from tests.runtime_kernels.kernel_library import needs_kernels
from tests.runtime_kernels.op_models import linear_node, open_quietly, random_input, random_weight
from tests.spa_onnx.cli.commands import run, write_model

sanitized = pytest.mark.skipif(
    "asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need memory of their own"
)

SMAPS = Path("/proc/self/smaps_rollup")
PAGE = 4096
WIDTH, LAYERS, DENSITY = 1024, 12, 0.5

CHILD = """
import sys
from pathlib import Path
import numpy as np
from spa_onnx.runtime.session import session

def private():
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines()
                      if line.startswith(("Anonymous:", "Private_Hugetlb:")))

path, tokens, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
x = np.ones((tokens, width), np.float32)
before = private()
opened = session(path, sess_options=options)
loaded = private()
y, = opened.run(None, {"x": x})
assert np.isfinite(y).all()
print(loaded - before, private() - before)
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """Private bytes of a process, over what it had before the session, and of all packed weights.

    Attributes:
        loaded: when the session is open.
        run: after one run.
        packed: of the weights.
    """

    loaded: int
    run: int
    packed: int


def measure(path: Path, tokens: int, packed: int) -> Memory:
    """Open and run a model in a process of its own."""
    command = [sys.executable, "-c", CHILD, str(path), str(tokens), str(WIDTH)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded, run = map(int, done.stdout.split())
    return Memory(loaded, run, packed)


def write_chain(path: Path, packed: bytes, *, outside: bool) -> int:
    """Write a chain of layers with a weight each; return the bytes of all weights.

    Args:
        path: of the model.
        packed: the weight that every layer gets a copy of.
        outside: whether weights lie in a file beside the model, at the beginnings of pages.
    """
    stored, nodes = [], []
    data = path.with_suffix(".data")
    with data.open("wb") as file:
        for k in range(LAYERS):
            tensor = TensorProto(name=f"w{k}", data_type=TensorProto.UINT8, dims=[len(packed)])
            if outside:
                file.seek(-(-file.tell() // PAGE) * PAGE)
                tensor.data_location = TensorProto.EXTERNAL
                for key, value in (
                    ("location", data.name),
                    ("offset", file.tell()),
                    ("length", len(packed)),
                ):
                    tensor.external_data.add(key=key, value=str(value))
                file.write(packed)
            else:
                tensor.raw_data = packed
            stored.append(tensor)
            nodes.append(
                helper.make_node(
                    "SparseLinear",
                    [f"x{k}" if k else "x", f"w{k}"],
                    [f"x{k + 1}" if k + 1 < LAYERS else "y"],
                    domain="ai.spa",
                    out_features=WIDTH,
                    activation="clip",
                    clip_min=-1.0,
                    clip_max=1.0,
                )
            )
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", WIDTH]) for name in "xy"
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.spa", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return LAYERS * len(packed)


def weight(block_rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(block_rows)
    kept = rng.random((WIDTH // block_rows, WIDTH)) < DENSITY
    made = rng.standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH * DENSITY) ** 0.5
    return np.where(kept.repeat(block_rows, axis=0), made, np.float32(0))


PACKERS = {
    "blocks 1x1": lambda: pack_blocks(weight(1), 1),
    "blocks 4x1": lambda: pack_blocks(weight(4), 4),
    "blocks 16x1": lambda: pack_blocks(weight(16), 16),
    "bit mask": lambda: pack_bitmask(weight(1)),
}


@needs_kernels
@sanitized
@pytest.mark.slow
@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell private memory")
@pytest.mark.parametrize("tokens", [1, 64])
@pytest.mark.parametrize("packer", PACKERS)
def test_weights_outside_the_model_cost_little_private_memory(
    tmp_path: Path, packer: str, tokens: int
) -> None:
    path = tmp_path / "chain.onnx"
    memory = measure(path, tokens, write_chain(path, PACKERS[packer](), outside=True))
    assert memory.loaded < 0.2 * memory.packed, memory
    assert memory.run < 1.1 * memory.packed, memory


@needs_kernels
@sanitized
@pytest.mark.slow
@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell private memory")
def test_weights_inside_the_model_are_seen_by_the_measurement(tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    memory = measure(path, 1, write_chain(path, PACKERS["blocks 16x1"](), outside=False))
    assert memory.loaded > 0.9 * memory.packed, memory


def write_dense_chain(path: Path, block_rows: int) -> None:
    """Write a chain of products with the zeros of a pattern, as ``sparsify`` leaves them."""
    stored = [numpy_helper.from_array(weight(block_rows).T.copy(), f"w{k}") for k in range(LAYERS)]
    nodes = []
    for k in range(LAYERS):
        last = "y" if k + 1 == LAYERS else f"x{k + 1}"
        nodes.append(helper.make_node("MatMul", [f"x{k}" if k else "x", f"w{k}"], [f"m{k}"]))
        nodes.append(helper.make_node("Tanh", [f"m{k}"], [last]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", WIDTH]) for name in "xy"
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    opsets = [helper.make_opsetid("", 17)]
    write_model(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


@needs_kernels
@sanitized
@pytest.mark.slow
@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell private memory")
@pytest.mark.parametrize(("block_rows", "tokens"), [(16, 1), (1, 64)])
def test_a_lowered_model_with_external_data_maps_its_weights(
    tmp_path: Path, block_rows: int, tokens: int
) -> None:
    dense, lowered = tmp_path / "dense.onnx", tmp_path / "lowered.onnx"
    write_dense_chain(dense, block_rows)
    shape = f"x:{tokens},{WIDTH}"
    options = ("--force", "--external-data", "--quiet", "--input-shape", shape)
    result = run("lower", dense, "-o", lowered, *options)
    assert result.exit_code == 0, result.output
    model = onnx.load(lowered, load_external_data=False)
    packed = [t for t in model.graph.initializer if t.data_type == TensorProto.UINT8]
    assert len(packed) == LAYERS
    memory = measure(lowered, tokens, sum(t.dims[0] for t in packed))
    assert memory.loaded < 0.2 * memory.packed, memory
    assert memory.run < 1.1 * memory.packed, memory


@needs_kernels
@sanitized
@pytest.mark.skipif(not SMAPS.exists(), reason="the system does not tell private memory")
def test_runs_leave_no_memory_behind() -> None:
    each, runs = 40, 30_000  # a handle of the runtime has 100 bytes
    x = random_input(1, 20)
    opened = open_quietly(
        linear_node(random_weight(5, 20), packed=pack_bitmask(weight(1)[:5, :20]))
    )

    def grown() -> int:
        before = private_memory()
        for _ in range(runs):
            opened.run(None, {"x": x})
        return private_memory() - before

    grown()
    assert grown() < each * runs


def private_memory() -> int:
    """Return bytes of memory that only this process has."""
    found = re.search(r"^Anonymous: +(\d+) kB$", SMAPS.read_text(), re.MULTILINE)
    assert found
    return 1024 * int(found[1])
