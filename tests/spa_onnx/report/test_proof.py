import json
from dataclasses import replace

from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.report.proof import proof_json, proof_line


def test_numbers_that_json_lacks_become_text() -> None:
    shapes = ({"x": (2, 3)},)
    proof = Proof((Difference("y", 0.0, float("inf")),), (), shapes, {"z": "TopK 't'"}, 1, 10**9)
    content = json.loads(proof_json(proof))
    assert content["power"] == content["outputs"][0]["power"] == "inf"
    assert content["shapes"] == [{"x": [2, 3]}]
    assert content["skipped"] == {"z": "TopK 't'"}


def test_a_proof_in_pieces_says_so() -> None:
    difference = Difference("y", 1e-7, 0.5)
    whole = Proof((difference,), (), (), {}, 1, 1_500_000_000)
    assert "piece" not in proof_line(whole)
    text = proof_line(replace(whole, pieces=7))
    assert "in 7 pieces of up to 1.50 GB of weights" in text
    assert json.loads(proof_json(replace(whole, pieces=7)))["pieces"] == 7
