"""From image to image: segmentation and super-resolution."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import WIDTH, Networks, image


class Double(nn.Sequential):
    """Two convolutions, as a U-Net has at each level."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        )


class UNet(nn.Module):
    """Three levels, transposed convolutions, skips by concatenation.

    Source: Ronneberger et al., "U-Net", MICCAI 2015.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (WIDTH, 2 * WIDTH, 4 * WIDTH)
        self.down = nn.ModuleList(map(Double, (3, *widths[:-1]), widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[-2::-1])
        self.join = nn.ModuleList(Double(2 * w, w) for w in widths[-2::-1])
        self.head = nn.Conv2d(WIDTH, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores per pixel."""
        skips: list[Tensor] = []
        for level in self.down:
            x = level(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


class SuperResolution(nn.Module):
    """EDSR's residual blocks, and channel attention, before a pixel shuffle by two."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1)
            )
            for _ in range(3)
        )
        self.gates = nn.ModuleList(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(32, 8, 1),
                nn.ReLU(),
                nn.Conv2d(8, 32, 1),
                nn.Sigmoid(),
            )
            for _ in range(3)
        )
        self.up = nn.Sequential(nn.Conv2d(32, 128, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(32))
        self.head = nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Return the image at twice the size."""
        x = start = self.stem(image)
        for block, gate in zip(self.blocks, self.gates, strict=True):
            y = block(x)
            x = x + 0.1 * y * gate(y)
        return self.head(self.up(x + start)) + functional.interpolate(
            image, scale_factor=2.0, mode="bilinear"
        )


class Unshuffled(nn.Module):
    """Space to depth in front of a network, as Real-ESRGAN and YOLOv5's Focus have it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(12, 32, 3, padding=1), nn.ReLU(), nn.PixelUnshuffle(2), nn.Conv2d(128, 64, 1)
        )
        self.head = nn.Sequential(nn.ReLU(), nn.PixelShuffle(4), nn.Conv2d(4, 3, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        """Return an image of the same size."""
        return self.head(self.body(functional.pixel_unshuffle(image, 2)))


NETWORKS: Networks = {
    "unet": (UNet, image(32)),
    "super_resolution": (SuperResolution, image(16)),
    "unshuffled": (Unshuffled, image(16)),
}
