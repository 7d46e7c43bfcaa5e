"""Run lowered models: packed sparse weights and the library of ONNX Runtime custom ops.

Import from the modules: ``packing`` (weights to bytes and back, ``unpacking`` the latter), ``library`` (where the native
library lies) and ``session`` (an ``InferenceSession`` with the library registered).
"""
