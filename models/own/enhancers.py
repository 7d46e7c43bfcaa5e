"""Better images of the same or twice the size: ESPCN, RRDB, NAFNet, Restormer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import Networks, image


class Espcn(nn.Sequential):
    """Three convolutions, then sub-pixels. Source: Shi et al., CVPR 2016."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 48, 5, padding=2),
            nn.Tanh(),
            nn.Conv2d(48, 32, 3, padding=1),
            nn.Tanh(),
            nn.Conv2d(32, 27, 3, padding=1),
            nn.PixelShuffle(3),
        )


class DenseBlock(nn.Module):
    """Four convolutions, each of which sees all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width + k * growth, growth if k < 3 else width, 3, padding=1)
            for k in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        seen = [x]
        for layer in self.layers[:-1]:
            seen.append(functional.leaky_relu(layer(torch.cat(seen, 1)), 0.2))
        return x + 0.2 * self.layers[-1](torch.cat(seen, 1))


class Rrdb(nn.Module):
    """Real-ESRGAN's generator: dense blocks in residual blocks, nearest neighbours up."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.blocks = nn.Sequential(DenseBlock(32, 16), DenseBlock(32, 16))
        self.body = nn.Conv2d(32, 32, 3, padding=1)
        self.up = nn.Conv2d(32, 32, 3, padding=1)
        self.head = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the image at twice the size."""
        x = self.stem(image)
        x = x + self.body(x + 0.2 * self.blocks(x))
        x = functional.leaky_relu(self.up(functional.interpolate(x, scale_factor=2.0)), 0.2)
        return self.head(x)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of an image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with mean 0 and variance 1 at every pixel, scaled and shifted."""
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        y = (x - mean) / (variance + 1e-6).sqrt()
        return self.weight.view(1, -1, 1, 1) * y + self.bias.view(1, -1, 1, 1)


class SimpleGate(nn.Module):
    """One half times the other."""

    def forward(self, x: Tensor) -> Tensor:
        """Return half of the channels."""
        a, b = x.chunk(2, 1)
        return a * b


class NafBlock(nn.Module):
    """Gates without activations. Source: Chen et al., "Simple Baselines ...", ECCV 2022."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([ChannelNorm(width), ChannelNorm(width)])
        self.enter = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width),
            SimpleGate(),
        )
        self.attend = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.leave = nn.Conv2d(width, width, 1)
        self.layer = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1), SimpleGate(), nn.Conv2d(width, width, 1)
        )
        self.beta = nn.Parameter(torch.rand(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.rand(1, width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        y = self.enter(self.norms[0](x))
        x = x + self.beta * self.leave(y * self.attend(y))
        return x + self.gamma * self.layer(self.norms[1](x))


class TransposedAttention(nn.Module):
    """Restormer's block: channels attend to channels, then a gated depthwise layer.

    Source: Zamir et al., "Restormer", CVPR 2022.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([ChannelNorm(width), ChannelNorm(width)])
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Sequential(
            nn.Conv2d(width, 3 * width, 1),
            nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width),
        )
        self.out = nn.Conv2d(width, width, 1)
        self.enter = nn.Sequential(
            nn.Conv2d(width, 4 * width, 1),
            nn.Conv2d(4 * width, 4 * width, 3, padding=1, groups=4 * width),
        )
        self.leave = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        b, c, h, w = x.shape
        parts = self.qkv(self.norms[0](x)).chunk(3, 1)
        q, k, v = (part.reshape(b, self.heads, c // self.heads, h * w) for part in parts)
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(-1)
        x = x + self.out((weights @ v).reshape(b, c, h, w))
        gate, value = self.enter(self.norms[1](x)).chunk(2, 1)
        return x + self.leave(functional.gelu(gate) * value)


class Shuffled(nn.Module):
    """A U of two resolutions by pixel (un)shuffle around the blocks of one kind."""

    def __init__(self, outer: nn.Module, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.outer, self.inner = outer, inner
        self.down = nn.Sequential(nn.Conv2d(width, width // 2, 1), nn.PixelUnshuffle(2))
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1), nn.PixelShuffle(2))
        self.join = nn.Conv2d(2 * width, width, 1)
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return an image of the same size."""
        x = self.outer(self.stem(image))
        y = self.up(self.inner(self.down(x)))
        return image + self.head(self.join(torch.cat([x, y], 1)))


class NafNet(Shuffled):
    """NAFNet with one block per level."""

    def __init__(self) -> None:
        super().__init__(NafBlock(24), NafBlock(48), 24)


class Restormer(Shuffled):
    """Restormer with one block per level."""

    def __init__(self) -> None:
        super().__init__(TransposedAttention(24, 2), TransposedAttention(48, 4), 24)


NETWORKS: Networks = {
    "espcn": (Espcn, image(16)),
    "rrdb": (Rrdb, image(16)),
    "nafnet": (NafNet, image(16)),
    "restormer": (Restormer, image(16)),
}
