"""Layers whose output is added to a stream, as at the end of a residual block.

    x ───────────────┐
    x ─ ... ─ layer ─ Add ─ y        target of the layer: dense y - x as the changed network has it

Fitted to what they made in the dense network, such layers leave the errors that the stream brings
along as they are. Fitted to what the sum was, they also make up for these, as far as they see them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from spa_onnx.layers.variants import Handle


@dataclass(frozen=True, slots=True)
class Stream:
    """What a layer's output is added to.

    Attributes:
        total: the sum.
        other: the tensor that is added.
        bias: the stored bias that is added before that; empty if none is.
    """

    total: str
    other: str
    bias: str = ""


def streams_of(graph: onnx.GraphProto, handles: Mapping[str, Handle]) -> dict[str, Stream]:
    """Return the streams of layers of a sorted graph, where they are known before the layer runs.

    ``handles`` are those of layers by output.
    """
    readers: dict[str, list[onnx.NodeProto]] = {}
    made = {entry.name: -1 for entry in graph.input}
    for k, node in enumerate(graph.node):
        made |= dict.fromkeys(node.output, k)
        for name in node.input:
            readers.setdefault(name, []).append(node)
    public = {entry.name for entry in graph.output}
    stored = {tensor.name for tensor in graph.initializer}
    found: dict[str, Stream] = {}
    for name, handle in handles.items():
        at, bias = handle.product, ""
        if handle.bias and not handle.inside:
            bias, at = handle.bias, readers[at][0].output[0]
        behind = readers.get(at, [])
        if len(behind) != 1 or behind[0].op_type != "Add" or at in public:
            continue
        other = next((n for n in behind[0].input if n != at), "")
        if other and other not in stored and made.get(other, len(made)) < made[handle.product]:
            found[name] = Stream(behind[0].output[0], other, bias)
    return found
