"""``spa-onnx bench kernels``: sparse layers beside ONNX Runtime's dense ones."""
