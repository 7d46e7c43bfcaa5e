"""A family of transformers, and the settings that several of them share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiny_transformers.feeds import IMAGE, VOCABULARY, Feed, pixels, tokens, two_sequences

Settings = Mapping[str, Any]

TEXT: Settings = {
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

GROUPED: Settings = {**TEXT, "num_key_value_heads": 2}

HEADED: Settings = {**GROUPED, "head_dim": 32}

VISION: Settings = {
    "image_size": IMAGE,
    "patch_size": 16,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}

SEQUENCES: Settings = {
    "vocab_size": VOCABULARY,
    "d_model": 128,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}


@dataclass(frozen=True, slots=True)
class Small:
    """One family: a small configuration and the class with its head.

    Attributes:
        kind: ``model_type`` in transformers.
        head: class of the model.
        settings: of the configuration.
        feed: makes the inputs.
        outputs: which to keep; a hidden state among them would pin the model's width.
        cached: whether this is a decoder without a cache, to be told so.
        past: whether past keys and values are inputs and outputs.
    """

    kind: str
    head: str
    settings: Settings
    feed: Feed
    outputs: tuple[str, ...] = ("logits",)
    cached: bool = False
    past: bool = False


def decoder(kind: str, head: str, settings: Settings) -> Small:
    """Return a causal language model without a cache."""
    return Small(kind, head, settings, tokens, cached=True)


def seq2seq(kind: str, head: str, settings: Settings = SEQUENCES) -> Small:
    """Return an encoder and a decoder, without a cache."""
    return Small(kind, head, settings, two_sequences, cached=True)


def vision(kind: str, head: str, settings: Settings = VISION) -> Small:
    """Return a model of images."""
    return Small(kind, head, settings, pixels)


BOXES = ("logits", "pred_boxes")
