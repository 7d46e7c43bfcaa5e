"""Classifiers that mix in unusual ways."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import Networks, image


class MixerBlock(nn.Module):
    """Tokens mix, then channels."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.tokens = nn.Sequential(nn.Linear(tokens, 64), nn.GELU(), nn.Linear(64, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, tokens, width)``."""
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norms[1](x))


class Mixer(nn.Module):
    """MLP-Mixer. Source: Tolstikhin et al., arXiv 2105.01601."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 8, 8)
        self.blocks = nn.Sequential(MixerBlock(16, 64), MixerBlock(16, 64), nn.LayerNorm(64))
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores."""
        return self.head(self.blocks(self.patches(image).flatten(2).transpose(1, 2)).mean(1))


class Capsules(nn.Module):
    """Capsules with two rounds of routing: products of vectors by a five-axis weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 9), nn.ReLU(), nn.Conv2d(32, 32, 9, 2))
        self.votes = nn.Parameter(0.1 * torch.randn(1, 256, 10, 16, 8))

    def forward(self, image: Tensor) -> Tensor:
        """Return the length of ten capsules."""
        u = self.stem(image).view(-1, 4, 8, 64).transpose(2, 3).reshape(-1, 256, 1, 8, 1)
        votes = (self.votes @ u)[..., 0]
        logits = torch.zeros_like(votes[..., :1])
        for _ in range(2):
            v = functional.normalize((logits.softmax(2) * votes).sum(1, keepdim=True), dim=-1)
            logits = logits + (votes * v).sum(-1, keepdim=True)
        return (logits.softmax(2) * votes).sum(1).norm(dim=-1)


NETWORKS: Networks = {
    "mixer": (Mixer, image(32)),
    "capsules": (Capsules, image(32)),
}
