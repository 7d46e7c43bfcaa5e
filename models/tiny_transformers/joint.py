"""Images and text together."""

import torch
from torch import Tensor

from tiny_transformers.feeds import IMAGE, full_tokens, pixels, pixels_and_tokens, tokens
from tiny_transformers.small import TEXT, VISION, Settings, Small

TEXT_TOWER: Settings = {**TEXT, "projection_dim": 64}

VISION_TOWER: Settings = {**VISION, "projection_dim": 64}

TOWERS: Settings = {
    "text_config": dict(TEXT_TOWER),
    "vision_config": dict(VISION_TOWER),
    "projection_dim": 64,
}

WIDE_TOWERS: Settings = {**TOWERS, "projection_dim": 128}


def tokens_and_patches(generator: torch.Generator) -> dict[str, Tensor]:
    """Return a caption and embedded patches: ViLT draws the patches that it embeds at random."""
    patches = (IMAGE // 16) ** 2
    return {
        **{name: value[:1] for name, value in tokens(generator).items()},
        "image_embeds": torch.randn(1, patches, 128, generator=generator),
        "pixel_mask": torch.ones(1, patches, dtype=torch.int64),
    }


MODELS: dict[str, Small] = {
    "clip": Small(
        "clip", "CLIPModel", TOWERS, pixels_and_tokens, ("logits_per_image", "logits_per_text")
    ),
    "siglip": Small(
        "siglip",
        "SiglipModel",
        TOWERS,
        lambda generator: {**full_tokens(generator), **pixels(generator)},
        ("logits_per_image",),
    ),
    "chinese_clip": Small(
        "chinese_clip", "ChineseCLIPModel", TOWERS, pixels_and_tokens, ("logits_per_image",)
    ),
    "clipseg": Small(
        "clipseg",
        "CLIPSegForImageSegmentation",
        {**TOWERS, "extract_layers": [0, 1], "reduce_dim": 32, "decoder_num_attention_heads": 4},
        lambda generator: {
            "input_ids": full_tokens(generator)["input_ids"][:1],
            **pixels(generator),
        },
    ),
    "owlvit": Small(
        "owlvit",
        "OwlViTForObjectDetection",
        WIDE_TOWERS,
        pixels_and_tokens,
        ("logits", "pred_boxes"),
    ),
    "blip": Small(
        "blip",
        "BlipForImageTextRetrieval",
        {
            "text_config": {**TEXT, "encoder_hidden_size": 128},
            "vision_config": dict(VISION),
            "projection_dim": 64,
            "image_text_hidden_size": 64,
        },
        lambda generator: {
            **{k: v[:1] for k, v in tokens(generator).items()},
            **pixels(generator),
        },
        ("itm_score",),
    ),
    "vilt": Small("vilt", "ViltForQuestionAnswering", {**TEXT, **VISION}, tokens_and_patches),
}
