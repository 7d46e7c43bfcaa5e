"""``spa-onnx bench kernels --target cuda``: sparse layers beside cuBLASLt's dense ones."""
