"""Runs models in ONNX Runtime on seeded inputs."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from tests.graph_writer import AnyArray

# Integer inputs are indices into tables; every table of our tests has at least as many rows.
INDICES = 20


def true_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the graph inputs that are not also initializers."""
    weights = {weight.name for weight in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in weights]


def random_feeds(
    model: onnx.ModelProto, seed: int = 0, sizes: Mapping[str, int] | None = None
) -> dict[str, AnyArray]:
    """Return a value for every input; ``sizes`` fixes symbolic axes, 2 where it is silent."""
    random, sizes, feeds = np.random.default_rng(seed), sizes or {}, {}
    for info in true_inputs(model):
        tensor = info.type.tensor_type
        shape = [dim.dim_value or sizes.get(dim.dim_param, 2) for dim in tensor.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if np.issubdtype(dtype, np.integer):
            feeds[info.name] = random.integers(0, INDICES, shape).astype(dtype)
        else:
            feeds[info.name] = random.standard_normal(shape).astype(dtype)
    return feeds


def run(model: onnx.ModelProto, feeds: Mapping[str, AnyArray]) -> list[AnyArray]:
    """Return the graph outputs, computed on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(output) for output in session.run(None, dict(feeds))]
