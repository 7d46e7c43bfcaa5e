"""Networks that draw images: diffusion and autoencoders."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, WIDTH, Networks


class TimedBlock(nn.Module):
    """A residual block of a diffusion model: group norms, and the time added per channel."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(4, inputs), nn.GroupNorm(4, outputs)])
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``; time scales and shifts."""
        y = self.first(functional.silu(self.norms[0](x)))
        scale, shift = self.time(functional.silu(time))[:, :, None, None].chunk(2, dim=1)
        y = self.norms[1](y) * (1 + scale) + shift
        return self.skip(x) + self.second(functional.silu(y))


class SpatialAttention(nn.Module):
    """Attention of every pixel to every other, four heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus what it attends to."""
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, 4, c // 4, h * w).unbind(1)
        weights = torch.einsum("bhdq,bhdk->bhqk", q * (c // 4) ** -0.5, k).softmax(-1)
        y = torch.einsum("bhqk,bhdk->bhdq", weights, v)
        return x + self.out(y.reshape(b, c, h, w))


class DiffusionUNet(nn.Module):
    """A small denoiser. Source: Ho et al., "Denoising Diffusion ...", NeurIPS 2020, appendix B."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64))
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.down1 = TimedBlock(WIDTH, WIDTH, 64)
        self.shrink = nn.Conv2d(WIDTH, WIDTH, 3, 2, 1)
        self.down2 = TimedBlock(WIDTH, 2 * WIDTH, 64)
        self.middle = SpatialAttention(2 * WIDTH)
        self.up2 = TimedBlock(4 * WIDTH, 2 * WIDTH, 64)
        self.grow = nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1)
        self.up1 = TimedBlock(2 * WIDTH, WIDTH, 64)
        self.norm = nn.GroupNorm(4, WIDTH)
        self.head = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, image: Tensor, step: Tensor) -> Tensor:
        """Return the noise in ``image`` at ``step``."""
        angles = step[:, None] * torch.exp(-math.log(1e4) * torch.arange(16) / 16)
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        first = self.down1(self.stem(image), time)
        second = self.down2(self.shrink(first), time)
        y = self.up2(torch.cat([self.middle(second), second], 1), time)
        y = self.grow(functional.interpolate(y, scale_factor=2.0))
        y = self.up1(torch.cat([y, first], 1), time)
        return self.head(functional.silu(self.norm(y)))


class VariationalAutoencoder(nn.Module):
    """Two heads for mean and variance; the noise is an input."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.mean, self.log_variance = nn.Linear(2048, 24), nn.Linear(2048, 24)
        self.enter = nn.Linear(24, 2048)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1)
        )

    def forward(self, image: Tensor, noise: Tensor) -> Tensor:
        """Return an image."""
        hidden = self.encoder(image)
        code = self.mean(hidden) + noise * (0.5 * self.log_variance(hidden)).exp()
        return self.decoder(self.enter(code).view(-1, 32, 8, 8))


NETWORKS: Networks = {
    "diffusion_unet": (
        DiffusionUNet,
        lambda: {"image": torch.randn(BATCH, 3, 16, 16), "step": torch.tensor([3.0, 40.0])},
    ),
    "vae": (
        VariationalAutoencoder,
        lambda: {"image": torch.randn(BATCH, 3, 32, 32), "noise": torch.randn(BATCH, 24)},
    ),
}
