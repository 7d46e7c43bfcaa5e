"""What every operator means to the compiler; the list is in :mod:`spa_onnx.ops.rules`."""
