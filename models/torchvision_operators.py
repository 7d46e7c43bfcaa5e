"""Make torchvision importable, and its detectors traceable, without its compiled operators.

A torchvision wheel built for another torch variant stops at its first missing operator. Importing
this module declares ``nms`` and ``roi_align`` and computes them in plain torch, so that an
exporter, which writes NonMaxSuppression and RoiAlign, can trace them. With a matching wheel, and
without torchvision, it does nothing.

Import it before torchvision, timm or transformers.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, "
    "int pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return indices of the boxes kept by greedy suppression, best score first.

    Shapes: boxes ``(n, 4)`` as x1, y1, x2, y2; scores ``(n,)``.
    """
    from torchvision.ops import box_iou

    overlap = box_iou(boxes, boxes) > iou_threshold
    kept: list[int] = []
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    for index in scores.argsort(descending=True).tolist():
        if not gone[index]:
            kept.append(index)
            gone |= overlap[index]
    return torch.tensor(kept, dtype=torch.int64)


def roi_align(
    features: Tensor,
    rois: Tensor,
    scale: float,
    height: int,
    width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Return features ``(rois, C, height, width)``, through torchvision's version in Python."""
    from torchvision.ops.roi_align import _roi_align

    plain = getattr(_roi_align, "__wrapped__", _roi_align)
    pooled: Tensor = plain(features, rois, scale, height, width, sampling_ratio, aligned)
    return pooled


def there_are_operators() -> bool:
    """Answer torchvision's question; scripted by it, so a function with a name."""
    return True


def operators_are_there() -> None:
    """Raise nothing where torchvision asks for its operators."""


def declare() -> None:
    """Give torch the operators that torchvision could not load."""
    for declaration in DECLARATIONS:
        LIBRARY.define(declaration)
    LIBRARY.impl("nms", nms, "CPU")
    LIBRARY.impl("roi_align", roi_align, "CPU")
    import_module("torchvision")  # whole, before its answer to "are there operators" changes
    for name in ("torchvision.extension", "torchvision.ops.boxes", "torchvision.ops.roi_align"):
        module: Any = import_module(name)
        module._assert_has_ops = operators_are_there
        module._has_ops = there_are_operators
    registration: Any = import_module("torchvision.ops._register_onnx_ops")
    registration._register_custom_op()


try:
    import torchvision  # noqa: F401
except RuntimeError:
    declare()
