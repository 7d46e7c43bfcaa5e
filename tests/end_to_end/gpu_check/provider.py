"""Open a session on the GPU. The status is 0 if there is one then."""

from __future__ import annotations

import sys

import onnxruntime
from onnx import TensorProto, helper

from spa_onnx.runtime.nvidia_packages import preload_for_provider

PROVIDER = "CUDAExecutionProvider"


def main() -> int:
    """Return 0 if the provider was built, and loads."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return 1
    preload_for_provider(onnxruntime)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "one", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    opened = onnxruntime.InferenceSession(model.SerializeToString(), providers=[PROVIDER])
    return 0 if PROVIDER in opened.get_providers() else 1


if __name__ == "__main__":
    sys.exit(main())
