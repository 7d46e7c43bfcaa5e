"""A proof as text and JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from rich.console import Console

from spa_onnx.prove.proof_values import Difference, Proof
from spa_onnx.report.words import count, size


def proof_line(proof: Proof) -> str:
    """Return the proof in one sentence."""
    compared = len(proof.outputs) + len(proof.inner)
    pieces = ""
    if proof.pieces > 1:
        pieces = f", in {proof.pieces} pieces of up to {size(proof.memory)} of weights"
    return (
        f"{count(compared, 'tensor')} compared with the masked original{pieces}: largest "
        f"difference {proof.largest:.2g} of scale, power {proof.power:.2g}"
    )


def print_proof(console: Console, proof: Proof) -> None:
    """Print what was compared, at which input shapes, and what could not be."""
    console.print(f"proved: {proof_line(proof)}")
    for shapes in proof.shapes:
        console.print("inputs: " + ", ".join(f"{name} {list(s)}" for name, s in shapes.items()))
    for difference in proof.outputs:
        console.print(
            f"output {difference.tensor!r}: difference {difference.relative:.2g}, "
            f"power {difference.power:.2g}"
        )
    for sentence in proof.limits:
        console.print(sentence)


def proof_json(proof: Proof) -> str:
    """Return the proof as JSON text, in the form it has in a run's report."""
    content = asdict(proof) | {
        "outputs": [_plain(d) for d in proof.outputs],
        "inner": [_plain(d) for d in proof.inner],
        "largest": _number(proof.largest),
        "power": _number(proof.power),
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _plain(difference: Difference) -> dict[str, Any]:
    return {
        "tensor": difference.tensor,
        "relative": _number(difference.relative),
        "power": _number(difference.power),
    }


def _number(value: float) -> float | str:
    """Return a number as JSON can hold it."""
    return value if math.isfinite(value) else str(value)
