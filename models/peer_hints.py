"""What a user tells Torch-Pruning by hand, gathered from its examples and applied by name.

Its examples for timm, torchvision and transformers give heads of attention layers and halves of
fused gates, ignore parts of detectors, and afterwards set attributes that hold old widths. Here the
same is found by the names that these libraries use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

FUSED = ("qkv", "qkv_proj", "Wqkv", "query_key_value", "in_proj_qkv")
QUERIES = ("q", "q_proj", "query", "q_lin", "to_q", "query_proj", "wq")
KEYS = ("k", "k_proj", "key", "k_lin", "to_k", "key_proj", "wk")
VALUES = ("v", "v_proj", "value", "v_lin", "to_v", "value_proj", "wv")
HEADS = ("num_heads", "num_attention_heads", "n_heads", "n_head")
KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
WIDTHS_OF_A_HEAD = ("head_dim", "attention_head_size", "key_value_proj_dim")
WIDTHS_OF_ALL = ("all_head_size", "attn_dim", "inner_dim", "embed_dim", "hidden_size")
GATES = ("gate_up_proj",)
UNTOUCHED = {
    "SSD": ("head",),
    "RAFT": ("corr_block", "update_block", "mask_predictor"),
    "FasterRCNN": ("rpn.head", "backbone.fpn", "roi_heads"),
    "MaskRCNN": ("rpn.head", "backbone.fpn", "roi_heads"),
    "KeypointRCNN": ("rpn.head", "backbone.fpn", "roi_heads"),
    "RetinaNet": ("head.classification_head.cls_logits", "head.regression_head.bbox_reg"),
    "FCOS": (
        "head.classification_head.cls_logits",
        "head.regression_head.bbox_reg",
        "head.regression_head.bbox_ctrness",
    ),
}
"""Parts that the example for torchvision ignores, by the name of a model's class."""


@dataclass(frozen=True, slots=True)
class Attention:
    """An attention module: its one projection, or its query, key and value projections."""

    module: nn.Module
    fused: nn.Module | None
    separate: tuple[nn.Module, ...]
    heads: int
    key_heads: int


@dataclass(frozen=True, slots=True)
class Hints:
    """What a pruner is told.

    Attributes:
        attentions: the attention modules that were recognised.
        num_heads: by projection.
        groups: by layer, how many equal parts its output has.
        ignored: what stays whole.
        whole_heads: cut heads, as the examples for transformers do, not the width of each.
    """

    attentions: Sequence[Attention] = ()
    num_heads: dict[nn.Module, int] = field(default_factory=dict)
    groups: dict[nn.Module, int] = field(default_factory=dict)
    ignored: Sequence[nn.Module] = ()
    whole_heads: bool = False

    def options(self, ratio: float) -> Mapping[str, Any]:
        """Return the keywords for a pruner."""
        whole = {"prune_num_heads": True, "prune_head_dims": False, "head_pruning_ratio": ratio}
        return {"num_heads": self.num_heads, **(whole if self.whole_heads else {})}


def hints_of(model: nn.Module) -> Hints:
    """Return what the examples would say of a model."""
    attentions = list(find_attentions(model))
    num_heads: dict[nn.Module, int] = {}
    for one in attentions:
        heads = (one.heads, one.key_heads, one.key_heads)
        num_heads |= dict(zip(one.separate, heads, strict=False))
        if one.fused is not None:
            num_heads[one.fused] = one.heads
    groups: dict[nn.Module, int] = {
        m: m.num_heads for m in model.modules() if isinstance(m, nn.MultiheadAttention)
    }
    for module in model.modules():
        groups |= {c: 2 for name, c in module.named_children() if name in GATES}
    ignored = [
        module.get_submodule(path)
        for module in model.modules()
        for path in UNTOUCHED.get(type(module).__name__, ())
    ]
    from_transformers = any(type(m).__module__.startswith("transformers") for m in model.modules())
    return Hints(attentions, num_heads, groups, ignored, from_transformers)


def find_attentions(model: nn.Module) -> Iterator[Attention]:
    """Yield the modules that have a number of heads and projections with a known name."""
    for module in model.modules():
        heads = number(module, HEADS)
        children = dict(module.named_children())
        fused = one_of(children, FUSED)
        separate = [one_of(children, names) for names in (QUERIES, KEYS, VALUES)]
        found = tuple(layer for layer in separate if layer is not None)
        if heads and (fused is not None or len(found) == len(separate)):
            layers = () if fused is not None else found
            yield Attention(module, fused, layers, heads, number(module, KEY_HEADS) or heads)


def number(module: nn.Module, names: Sequence[str]) -> int:
    """Return an attribute of a module or its configuration; zero where there is none."""
    for owner in (module, getattr(module, "config", None)):
        for name in names:
            value = getattr(owner, name, None)
            if isinstance(value, int):
                return value
    return 0


def one_of(children: Mapping[str, nn.Module], names: Sequence[str]) -> nn.Module | None:
    """Return the child that is a layer and has one of the names."""
    for name in names:
        if isinstance(children.get(name), nn.Linear | nn.Conv2d):
            return children[name]
    return None


def width(layer: nn.Module) -> int:
    """Return how many channels a layer puts out."""
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


def adjust(model: nn.Module, hints: Hints) -> None:
    """Set attributes of a pruned model that hold widths and numbers of heads."""
    for one in hints.attentions:
        layer = one.fused or one.separate[0]
        heads = hints.num_heads[layer]
        whole = width(layer) // (3 if one.fused is not None else 1)
        new = dict.fromkeys(HEADS, heads)
        new |= dict.fromkeys(WIDTHS_OF_A_HEAD, whole // heads)
        new |= dict.fromkeys(WIDTHS_OF_ALL, whole)
        if one.separate:
            key_heads = width(one.separate[1]) // max(1, whole // heads)
            new |= dict.fromkeys(KEY_HEADS, key_heads)
            new["num_key_value_groups"] = heads // max(1, key_heads)
        for name, value in new.items():
            if isinstance(getattr(one.module, name, None), int):
                setattr(one.module, name, value)
    for module in model.modules():
        if hasattr(module, "hidden_dim") and hasattr(module, "conv_proj"):  # torchvision's ViT
            module.hidden_dim = module.conv_proj.out_channels
