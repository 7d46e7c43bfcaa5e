"""Calls that a type checker must refuse: every line marked here is an error, and no other."""

# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false

from pathlib import Path

import spa_onnx
from spa_onnx import PruneConfig, Ratio

PruneConfig(0.5)  # error: arg-type
PruneConfig(exclude="head.*")  # error: arg-type
PruneConfig(Ratio(0.5), speed=3)  # error: call-arg
PruneConfig(input_shapes={"x": 3})  # error: dict-item
spa_onnx.prune(3)  # error: arg-type
spa_onnx.prune("model.onnx", 0.5)  # error: arg-type
spa_onnx.prune("model.onnx", PruneConfig(), Path("out.onnx"))  # error: call-arg|misc
spa_onnx.prune("model.onnx").report.before = None  # error: misc|assignment
spa_onnx.apply("model.onnx")  # error: call-arg
Ratio("half")  # error: arg-type
