"""Inputs of the small transformers."""

from collections.abc import Callable

import torch
from torch import Tensor

Feed = Callable[[torch.Generator], dict[str, Tensor]]

VOCABULARY = 200

BATCH = 2

LENGTH = 12

PAST = 5

IMAGE = 64

SAMPLES = 4000


def tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return token numbers and a mask that hides the end of the second sequence."""
    ids = torch.randint(3, VOCABULARY, (BATCH, LENGTH), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, -3:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def full_tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return token numbers alone."""
    return {"input_ids": tokens(generator)["input_ids"]}


def two_sequences(generator: torch.Generator) -> dict[str, Tensor]:
    """Return what an encoder and a decoder read."""
    decoder = torch.randint(3, VOCABULARY, (BATCH, LENGTH - 4), generator=generator)
    return {**tokens(generator), "decoder_input_ids": decoder}


def pixels(generator: torch.Generator) -> dict[str, Tensor]:
    """Return one image."""
    return {"pixel_values": torch.randn(1, 3, IMAGE, IMAGE, generator=generator)}


def pixels_and_tokens(generator: torch.Generator) -> dict[str, Tensor]:
    """Return an image and two captions."""
    return {**tokens(generator), **pixels(generator)}


def samples(generator: torch.Generator) -> dict[str, Tensor]:
    """Return a raw recording."""
    return {"input_values": torch.randn(1, SAMPLES, generator=generator)}


def spectrum(generator: torch.Generator) -> dict[str, Tensor]:
    """Return a spectrogram and the words so far."""
    decoder = torch.randint(3, VOCABULARY, (1, LENGTH), generator=generator)
    features = torch.randn(1, 80, 60, generator=generator)
    return {"input_features": features, "decoder_input_ids": decoder}


OPEN_AXES: dict[str, dict[int, str]] = {
    "input_ids": {0: "batch", 1: "sequence"},
    "attention_mask": {0: "batch", 1: "sequence"},
    "decoder_input_ids": {0: "batch", 1: "decoder_sequence"},
    "pixel_values": {0: "images"},
    "input_values": {0: "batch", 1: "samples"},
}
