"""Put together what the report says about layers and weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx

from spa_onnx.graph.tensors import all_tensors
from spa_onnx.load.store import byte_length
from spa_onnx.lower.choose import Timed, pays
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.report import LayerReport
from spa_onnx.lower.trial import PLAIN


def layer_reports(
    layers: Sequence[Layer],
    zeros: Mapping[Layer, Zeros],
    timed: Sequence[Timed],
    chosen: Collection[Layer],
    lowered: Collection[Layer],
    least: float,
) -> tuple[LayerReport, ...]:
    """Return what became of every layer.

    Args:
        layers: all that were found.
        zeros: of their matrices, but for depthwise ones.
        timed: layers that were timed.
        chosen: layers that should be lowered by their times.
        lowered: layers that were.
        least: share of zeros that a weight needs.
    """
    times = {t.layer: t for t in timed}
    found = []
    for layer in layers:
        known = times.get(layer)
        if layer.kind == "depthwise" and known is None:
            continue  # nobody expects it to be anything but dense
        share = 1 - zeros[layer].density if layer in zeros else None
        packing = (str(known.packing or PLAIN)) if known and layer in lowered else ""
        found.append(
            LayerReport(
                layer.label,
                layer.kind,
                layer.shape,
                share,
                packing,
                known.timing.dense if known and known.timing else None,
                known.timing.best[1] if known and known.timing else None,
                "" if packing else _reason(layer, known, share, chosen, least),
            )
        )
    return tuple(found)


def _reason(
    layer: Layer, known: Timed | None, share: float | None, chosen: Collection[Layer], least: float
) -> str:
    if share is not None and share < least:
        return f"fewer than {least:.0%} of zeros"
    if known is None:
        return "its shapes are not known"
    if layer in chosen:
        return "with it the whole model is not faster"
    if known.timing is None:
        return "not measured"
    if not pays(known):
        return "not faster packed"
    return "not faster with the changes of layout around it"


def weight_bytes(model: onnx.ModelProto) -> int:
    """Return the bytes of all tensors that a model stores."""
    return sum(byte_length(tensor) for tensor in all_tensors(model))
