"""More networks that draw: modulated convolutions, codebooks, a diffusion transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks, image


class Modulated(nn.Module):
    """A convolution whose weights are scaled by a style and normalised, one set per image.

    Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
    """

    def __init__(self, inputs: int, outputs: int, style: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5)
        self.bias = nn.Parameter(torch.randn(outputs))
        self.style = nn.Linear(style, inputs)
        self.noise = nn.Parameter(torch.rand(1))

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        b, c, h, w = x.shape
        weight = self.weight[None] * (1 + self.style(style)).view(b, 1, c, 1, 1)
        weight = weight * (weight.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        y = functional.conv2d(
            x.reshape(1, b * c, h, w), weight.view(-1, c, 3, 3), padding=1, groups=b
        )
        y = y.view(b, -1, h, w) + self.noise * noise
        return functional.leaky_relu(y + self.bias.view(1, -1, 1, 1), 0.2)


class StyleGenerator(nn.Module):
    """A mapping network, a learned constant, modulated convolutions and images that add up."""

    def __init__(self) -> None:
        super().__init__()
        self.mapping = nn.Sequential(nn.Linear(16, 48), nn.LeakyReLU(0.2), nn.Linear(48, 48))
        self.start = nn.Parameter(torch.randn(1, 32, 4, 4))
        self.layers = nn.ModuleList([Modulated(32, 32, 48), Modulated(32, 24, 48)])
        self.images = nn.ModuleList([nn.Conv2d(32, 3, 1), nn.Conv2d(24, 3, 1)])

    def forward(self, code: Tensor, noise: Tensor) -> Tensor:
        """Return images ``(B, 3, 8, 8)``; ``noise`` is ``(B, 1, 8, 8)``."""
        style = self.mapping(functional.normalize(code, dim=1))
        x = self.start.expand(code.shape[0], -1, -1, -1)
        x = self.layers[0](x, style, functional.avg_pool2d(noise, 2))
        drawn = functional.interpolate(self.images[0](x), scale_factor=2.0)
        x = self.layers[1](functional.interpolate(x, scale_factor=2.0), style, noise)
        return drawn + self.images[1](x)


class VectorQuantiser(nn.Module):
    """VQ-VAE: the nearest code for every place. Source: van den Oord et al., NeurIPS 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1), nn.ReLU(), nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(),
            nn.Conv2d(32, 16, 1),
        )  # fmt: skip
        self.codes = nn.Embedding(40, 16)
        self.decoder = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(32, 24, 4, 2, 1),
            nn.ReLU(), nn.Conv2d(24, 3, 3, padding=1),
        )  # fmt: skip

    def forward(self, image: Tensor) -> Tensor:
        """Return the image, redrawn from codes."""
        z = self.encoder(image)
        rows = z.permute(0, 2, 3, 1)
        table = self.codes.weight
        flat = rows.reshape(-1, 16)
        distance = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ table.t() + table.pow(2).sum(1)
        nearest = self.codes(distance.argmin(1)).view(rows.shape)
        return self.decoder(nearest.permute(0, 3, 1, 2))


class AdaptiveBlock(nn.Module):
    """A transformer block whose norms are scaled, shifted and gated by a condition."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=False, eps=1e-6) for _ in range(2)
        )
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layer = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return ``(B, tokens, width)``."""
        b, n, c = x.shape
        shift, scale, gate, *second = self.modulation(condition)[:, None].chunk(6, -1)
        y = self.norms[0](x) * (1 + scale) + shift
        q, k, v = self.qkv(y).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v)
        x = x + gate * self.out(y.transpose(1, 2).reshape(b, n, c))
        y = self.norms[1](x) * (1 + second[1]) + second[0]
        return x + second[2] * self.layer(y)


class DiffusionTransformer(nn.Module):
    """DiT: patches, adaptive norms, classes and time. Source: Peebles and Xie, ICCV 2023."""

    WIDTH, PATCH = 64, 4

    def __init__(self) -> None:
        super().__init__()
        w = self.WIDTH
        self.patches = nn.Conv2d(3, w, self.PATCH, self.PATCH)
        self.register_buffer("positions", torch.randn(1, 16, w))
        self.time = nn.Sequential(nn.Linear(32, w), nn.SiLU(), nn.Linear(w, w))
        self.classes = nn.Embedding(11, w)
        self.blocks = nn.ModuleList(AdaptiveBlock(w, 4) for _ in range(2))
        self.norm = nn.LayerNorm(w, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(w, 2 * w))
        self.head = nn.Linear(w, self.PATCH**2 * 6)

    def forward(self, image: Tensor, step: Tensor, label: Tensor) -> Tensor:
        """Return noise and its variance, ``(B, 6, 16, 16)``."""
        angles = step[:, None] * torch.exp(-9.2 * torch.arange(16) / 16)
        condition = self.time(torch.cat([angles.cos(), angles.sin()], -1)) + self.classes(label)
        x = self.patches(image).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            x = block(x, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, -1)
        x = self.head(self.norm(x) * (1 + scale) + shift)
        x = x.view(-1, 4, 4, self.PATCH, self.PATCH, 6)
        return torch.einsum("nhwpqc->nchpwq", x).reshape(-1, 6, 16, 16)


NETWORKS: Networks = {
    "style_generator": (
        StyleGenerator,
        lambda: {"code": torch.randn(BATCH, 16), "noise": torch.randn(BATCH, 1, 8, 8)},
    ),
    "vq_vae": (VectorQuantiser, image(16)),
    "diffusion_transformer": (
        DiffusionTransformer,
        lambda: {
            "image": torch.randn(BATCH, 3, 16, 16),
            "step": torch.tensor([3.0, 40.0]),
            "label": torch.randint(11, (BATCH,)),
        },
    ),
}
