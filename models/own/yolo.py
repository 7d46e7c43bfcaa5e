"""Detectors in the manner of YOLO."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import WIDTH, Networks, image


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution, its norm and a SiLU, as YOLO stacks them."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class C2f(nn.Module):
    """YOLOv8's block: halve, refine one half again and again, join all."""

    def __init__(self, inputs: int, outputs: int, times: int, shortcut: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.enter = conv(inputs, outputs, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(half, half), conv(half, half)) for _ in range(times)
        )
        self.leave = conv((2 + times) * half, outputs, 1)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        parts = list(self.enter(x).chunk(2, 1))
        for block in self.blocks:
            y = block(parts[-1])
            parts.append(parts[-1] + y if self.shortcut else y)
        return self.leave(torch.cat(parts, 1))


class Sppf(nn.Module):
    """Three poolings after each other, joined."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = conv(width, width // 2, 1)
        self.leave = conv(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        parts = [self.enter(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.leave(torch.cat(parts, 1))


class YoloDetector(nn.Module):
    """C2f, SPPF, a path up and down, and heads with distribution focal loss (DFL) decoding."""

    BINS = 16
    CLASSES = 7

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.stem = nn.Sequential(
            conv(3, w, 3, 2), conv(w, 2 * w, 3, 2), C2f(2 * w, 2 * w, 1, True)
        )
        self.p3 = nn.Sequential(conv(2 * w, 4 * w, 3, 2), C2f(4 * w, 4 * w, 2, True))
        self.p4 = nn.Sequential(conv(4 * w, 8 * w, 3, 2), C2f(8 * w, 8 * w, 1, True), Sppf(8 * w))
        self.up = C2f(12 * w, 4 * w, 1, False)
        self.shrink = conv(4 * w, 4 * w, 3, 2)
        self.down = C2f(12 * w, 8 * w, 1, False)
        outputs = (4 * w, 8 * w)
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(c, w), conv(w, w), nn.Conv2d(w, 4 * self.BINS, 1)) for c in outputs
        )
        self.classes = nn.ModuleList(
            nn.Sequential(conv(c, w), conv(w, w), nn.Conv2d(w, self.CLASSES, 1)) for c in outputs
        )
        self.register_buffer("bins", torch.arange(self.BINS, dtype=torch.float32))

    def forward(self, image: Tensor) -> Tensor:
        """Return distances to four sides and class scores, ``(B, 4 + CLASSES, anchors)``."""
        p3 = self.p3(self.stem(image))
        p4 = self.p4(p3)
        up = self.up(torch.cat([functional.interpolate(p4, scale_factor=2.0), p3], 1))
        down = self.down(torch.cat([self.shrink(up), p4], 1))
        features = (up, down)
        boxes = [b(x).flatten(2) for b, x in zip(self.boxes, features, strict=True)]
        classes = [c(x).flatten(2) for c, x in zip(self.classes, features, strict=True)]
        box = torch.cat(boxes, 2)
        b, _, anchors = box.shape
        shares = box.view(b, 4, self.BINS, anchors).transpose(1, 2).softmax(1)
        distances = functional.conv2d(shares, self.bins.view(1, -1, 1, 1)).view(b, 4, anchors)
        return torch.cat([distances, torch.cat(classes, 2).sigmoid()], 1)


NETWORKS: Networks = {
    "yolo": (YoloDetector, image(64)),
}
