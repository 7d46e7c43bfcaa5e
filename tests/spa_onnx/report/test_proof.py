import json

from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.report.proof import proof_json


def test_numbers_that_json_lacks_become_text() -> None:
    shapes = ({"x": (2, 3)},)
    proof = Proof((Difference("y", 0.0, float("inf")),), (), shapes, {"z": "TopK 't'"})
    content = json.loads(proof_json(proof))
    assert content["power"] == content["outputs"][0]["power"] == "inf"
    assert content["shapes"] == [{"x": [2, 3]}]
    assert content["skipped"] == {"z": "TopK 't'"}
