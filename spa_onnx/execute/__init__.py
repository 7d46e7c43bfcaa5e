"""Skeletons run in ONNX Runtime: whole or piece by piece, on inputs that are made up or given."""
