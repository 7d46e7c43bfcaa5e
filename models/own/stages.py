"""Backbones with unusual stages: Res2Net, HRNet, gates of three kinds, gMLP, volumes, KAN."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, WIDTH, Networks, image


def unit(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a convolution, its norm and a ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def scores(width: int, classes: int = 10) -> nn.Sequential:
    """Return global pooling and a projection."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


class Res2Block(nn.Module):
    """Splits, each refined with the result of the one before. Source: Gao et al., TPAMI 2021."""

    def __init__(self, width: int, scale: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, width, 1)
        self.parts = nn.ModuleList(unit(width // scale, width // scale) for _ in range(scale - 1))
        self.leave = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        first, *rest = self.enter(x).relu().chunk(len(self.parts) + 1, 1)
        done = [first]
        for part, piece in zip(self.parts, rest, strict=True):
            done.append(part(piece + done[-1] if len(done) > 1 else piece))
        return (x + self.leave(torch.cat(done, 1))).relu()


class Res2Net(nn.Sequential):
    """Two stages of such blocks."""

    def __init__(self) -> None:
        w = 2 * WIDTH
        super().__init__(
            unit(3, w, 2), Res2Block(w), unit(w, 2 * w, 2), Res2Block(2 * w), scores(2 * w)
        )


class HighResolution(nn.Module):
    """HRNet: two resolutions side by side that exchange twice. Source: Wang et al., TPAMI 2021."""

    def __init__(self) -> None:
        super().__init__()
        a, b = WIDTH, 2 * WIDTH
        self.stem = unit(3, a)
        self.split = unit(a, b, 2)
        self.high = nn.ModuleList(unit(a, a) for _ in range(2))
        self.low = nn.ModuleList(unit(b, b) for _ in range(2))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for _ in range(2))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for _ in range(2))
        self.head = nn.Conv2d(a + b, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores per pixel."""
        high = self.stem(image)
        low = self.split(high)
        for k in range(2):
            a, b = self.high[k](high), self.low[k](low)
            high = (a + functional.interpolate(self.up[k](b), scale_factor=2.0)).relu()
            low = (b + self.down[k](a)).relu()
        low = functional.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(torch.cat([high, low], 1))


class Gates(nn.Module):
    """Squeeze and excitation, ECA and CBAM, one after the other in residual blocks.

    ECA gates an inner width of its own: its convolution runs along the channels, so none of them
    can go.
    """

    def __init__(self) -> None:
        super().__init__()
        w = 2 * WIDTH
        self.stem = unit(3, w, 2)
        self.blocks = nn.ModuleList([unit(w, w), unit(w, WIDTH), unit(w, w)])
        self.squeeze = nn.Sequential(nn.Linear(w, 8), nn.ReLU(), nn.Linear(8, w))
        self.along = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.leave = nn.Conv2d(WIDTH, w, 1)
        self.shared = nn.Sequential(nn.Linear(w, 12), nn.ReLU(), nn.Linear(12, w))
        self.places = nn.Conv2d(2, 1, 7, padding=3)
        self.head = scores(w)

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores."""
        x = self.stem(image)
        y = self.blocks[0](x)
        x = x + y * self.squeeze(y.mean((2, 3))).sigmoid()[:, :, None, None]
        y = self.blocks[1](x)
        row = self.along(y.mean((2, 3))[:, None]).sigmoid()
        x = x + self.leave(y * row.transpose(1, 2)[..., None])
        y = self.blocks[2](x)
        gate = self.shared(y.mean((2, 3))) + self.shared(y.amax((2, 3)))
        y = y * gate.sigmoid()[:, :, None, None]
        seen = torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)
        return self.head(x + y * self.places(seen).sigmoid())


class GatedTokens(nn.Module):
    """gMLP's block: half of the features gates the other along the tokens."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 2 * width), nn.Linear(width, width)
        self.along = nn.Conv1d(tokens, tokens, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, tokens, width)``."""
        u, v = functional.gelu(self.enter(self.norm(x))).chunk(2, -1)
        return x + self.leave(u * self.along(self.inner(v)))


class Gmlp(nn.Module):
    """gMLP. Source: Liu et al., "Pay Attention to MLPs", NeurIPS 2021."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 64, 8, 8)
        self.blocks = nn.Sequential(*(GatedTokens(16, 64) for _ in range(2)), nn.LayerNorm(64))
        self.head = nn.Linear(64, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return class scores."""
        return self.head(self.blocks(self.patches(image).flatten(2).transpose(1, 2)).mean(1))


class Volumes(nn.Module):
    """A 3-D U of convolutions: factorised kernels, a transposed one, a skip, group norms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(1, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU())
        self.down = nn.Sequential(
            nn.Conv3d(16, 24, (1, 3, 3), (1, 2, 2), (0, 1, 1)),
            nn.BatchNorm3d(24),
            nn.ReLU(),
            nn.Conv3d(24, 32, (3, 1, 1), padding=(1, 0, 0)),
            nn.ReLU(),
        )
        self.up = nn.ConvTranspose3d(32, 16, (1, 2, 2), (1, 2, 2))
        self.head = nn.Conv3d(32, 4, 1)

    def forward(self, volume: Tensor) -> Tensor:
        """Return class scores per voxel; ``volume`` is ``(B, 1, D, H, W)``."""
        x = self.stem(volume)
        return self.head(torch.cat([x, self.up(self.down(x))], 1))


NETWORKS: Networks = {
    "res2net": (Res2Net, image(32)),
    "hrnet": (HighResolution, image(32)),
    "gates": (Gates, image(32)),
    "gmlp": (Gmlp, image(32)),
    "volumes": (Volumes, lambda: {"volume": torch.randn(BATCH, 1, 6, 16, 16)}),
}
