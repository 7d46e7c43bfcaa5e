"""Run lowered models: packed sparse weights and the library of ONNX Runtime custom ops.

Import from the modules: ``packing`` and ``unpacking`` (weights to bytes and back), ``library``
(where the native library lies), ``kernels`` (what is inside) and ``session`` (an
``InferenceSession`` with it registered).
"""
