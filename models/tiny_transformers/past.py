"""Decoders whose keys and values go in and come out."""

from typing import Any

import torch
from torch import Tensor, nn

from tiny_transformers.feeds import BATCH, PAST


class PastAndLogits(nn.Module):
    """A decoder whose keys and values go in and come out as plain tensors."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *past: Tensor) -> list[Tensor]:
        """Return the logits and, layer by layer, keys and values ``(B, heads, past + n, d)``."""
        from transformers import DynamicCache

        cache = DynamicCache(list(zip(past[::2], past[1::2], strict=True)))
        answer = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=True,
        )
        layers = answer.past_key_values.layers
        return [answer.logits, *(t for layer in layers for t in (layer.keys, layer.values))]


def past_of(model: Any, generator: torch.Generator) -> dict[str, Tensor]:
    """Return keys and values of ``PAST`` tokens for every layer, shape ``(B, heads, PAST, d)``."""
    config = model.config
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        f"past_{kind}_{layer}": torch.randn(BATCH, heads, PAST, width, generator=generator)
        for layer in range(config.num_hidden_layers)
        for kind in ("key", "value")
    }
