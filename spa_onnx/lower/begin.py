"""The first steps of lowering, which do not depend on what a model is lowered for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from spa_onnx.checks import check_output, check_weights
from spa_onnx.errors import AlreadyLoweredError, NothingToLowerError
from spa_onnx.load.model import LoadedModel, load
from spa_onnx.lower.find import Found
from spa_onnx.lower.layer import Layer
from spa_onnx.lower.packings import Zeros
from spa_onnx.lower.undo import is_lowered
from spa_onnx.stages import Stages


def load_original(model: Path, output: Path, stages: Stages) -> LoadedModel:
    """Return the model to lower.

    Raises:
        AlreadyLoweredError: it is lowered.
    """
    check_output(model, output)
    with stages("load"):
        loaded = load(model)
    check_weights(loaded, output)
    if is_lowered(loaded.skeleton):
        raise AlreadyLoweredError(loaded.label)
    return loaded


def wanted_layers(
    label: str, found: Found, zeros: Mapping[Layer, Zeros], least: float
) -> list[Layer]:
    """Return layers with zeros enough, and depthwise ones.

    Args:
        label: of the model.
        found: its products.
        zeros: of their weights.
        least: share of zeros that a weight needs.

    Raises:
        NothingToLowerError: there are none of the former.
    """
    wanted = [
        layer
        for layer in found.layers
        if layer.kind == "depthwise" or 1 - zeros[layer].density >= least
    ]
    if all(layer.kind == "depthwise" for layer in wanted):
        reasons = list(dict.fromkeys(f"{r.node}: {r.reason}" for r in found.refusals))[:3]
        raise NothingToLowerError(label, least, reasons)
    return wanted
