"""Later detectors: YOLOv5, v10 and v11, and BiFPN between a backbone and its heads."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import WIDTH, Networks, image
from own.yolo import Sppf, conv


def depthwise(width: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution with one group per common divisor, its norm and a SiLU."""
    groups = math.gcd(width, outputs)
    return nn.Sequential(
        nn.Conv2d(width, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


class Bottleneck(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width: int, shortcut: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width // 2), conv(width // 2, width))
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        return x + self.body(x) if self.shortcut else self.body(x)


class C3(nn.Module):
    """YOLOv5's block: two narrow branches, one of them refined, joined."""

    def __init__(self, inputs: int, outputs: int, times: int = 1, shortcut: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.left, self.right = conv(inputs, half, 1), conv(inputs, half, 1)
        self.body = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(times)))
        self.leave = conv(2 * half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        return self.leave(torch.cat([self.body(self.left(x)), self.right(x)], 1))


class C3k2(nn.Module):
    """YOLOv11's block: C2f's halves, each refined by a small C3."""

    def __init__(self, inputs: int, outputs: int, times: int = 1) -> None:
        super().__init__()
        self.half = outputs // 2
        self.enter = conv(inputs, 2 * self.half, 1)
        self.blocks = nn.ModuleList(C3(self.half, self.half, 2) for _ in range(times))
        self.leave = conv((2 + times) * self.half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs, H, W)``."""
        parts = list(self.enter(x).split((self.half, self.half), 1))
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.leave(torch.cat(parts, 1))


class PixelAttention(nn.Module):
    """Attention of YOLOv10: narrow keys, and a depthwise encoding of positions from the values."""

    def __init__(self, width: int, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.key = self.size // 2
        self.qkv = nn.Conv2d(width, width + 2 * heads * self.key, 1)
        self.out = nn.Conv2d(width, width, 1)
        self.positions = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        b, c, h, w = x.shape
        qkv = self.qkv(x).view(b, self.heads, 2 * self.key + self.size, h * w)
        q, k, v = qkv.split((self.key, self.key, self.size), 2)
        weights = ((q.transpose(-2, -1) @ k) * self.key**-0.5).softmax(-1)
        y = (v @ weights.transpose(-2, -1)).view(b, c, h, w)
        return self.out(y + self.positions(v.reshape(b, c, h, w)))


class SplitAttention(nn.Module):
    """PSA: one half goes by, the other through attention and a feed-forward layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.enter, self.leave = conv(width, width, 1), conv(width, width, 1)
        self.attention = PixelAttention(half)
        self.layer = nn.Sequential(conv(half, 2 * half, 1), nn.Conv2d(2 * half, half, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        a, b = self.enter(x).chunk(2, 1)
        b = b + self.attention(b)
        return self.leave(torch.cat([a, b + self.layer(b)], 1))


class AnchorDetector(nn.Module):
    """YOLOv5: C3, SPPF, and boxes relative to three anchors of each cell."""

    CLASSES = 7
    STRIDES = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.p3 = nn.Sequential(
            conv(3, w, 6, 2), conv(w, 2 * w, 3, 2), C3(2 * w, 2 * w), conv(2 * w, 4 * w, 3, 2)
        )
        self.p4 = nn.Sequential(C3(4 * w, 4 * w, 2), conv(4 * w, 8 * w, 3, 2), Sppf(8 * w))
        self.lateral = conv(8 * w, 4 * w, 1)
        self.up = C3(8 * w, 4 * w, 1, shortcut=False)
        self.down = conv(4 * w, 4 * w, 3, 2)
        self.last = C3(8 * w, 8 * w, 1, shortcut=False)
        self.heads = nn.ModuleList(nn.Conv2d(c, 3 * (self.CLASSES + 5), 1) for c in (4 * w, 8 * w))
        self.register_buffer("anchors", torch.rand(2, 1, 3, 1, 1, 2) * 40 + 8)

    def forward(self, image: Tensor) -> Tensor:
        """Return centres, sizes, confidences and class scores, ``(B, anchors, 5 + CLASSES)``."""
        p3 = self.p3(image)
        p4 = self.lateral(self.p4(p3))
        up = self.up(torch.cat([functional.interpolate(p4, size=p3.shape[2:]), p3], 1))
        last = self.last(torch.cat([self.down(up), p4], 1))
        rows = []
        for k, x in enumerate((up, last)):
            b, _, h, w = x.shape
            y = self.heads[k](x).view(b, 3, self.CLASSES + 5, h, w).permute(0, 1, 3, 4, 2).sigmoid()
            places = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack(places[::-1], 2) - 0.5
            centre = (y[..., :2] * 2 + grid) * self.STRIDES[k]
            size = (y[..., 2:4] * 2) ** 2 * self.anchors[k]
            rows.append(torch.cat([centre, size, y[..., 4:]], -1).flatten(1, 3))
        return torch.cat(rows, 1)


class FreeDetector(nn.Module):
    """YOLOv11: C3k2, attention, depthwise class heads, corners from distributions of distances."""

    BINS, CLASSES = 8, 7
    STRIDES = (8, 16)

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.p3 = nn.Sequential(
            conv(3, w, 3, 2), conv(w, 2 * w, 3, 2), C3k2(2 * w, 4 * w), conv(4 * w, 4 * w, 3, 2)
        )
        self.p4 = nn.Sequential(
            C3k2(4 * w, 4 * w), conv(4 * w, 8 * w, 3, 2), Sppf(8 * w), SplitAttention(8 * w)
        )
        self.up = C3k2(12 * w, 4 * w)
        self.boxes = nn.ModuleList(
            nn.Sequential(conv(c, w), nn.Conv2d(w, 4 * self.BINS, 1)) for c in (4 * w, 8 * w)
        )
        self.classes = nn.ModuleList(
            nn.Sequential(
                depthwise(c, c), conv(c, 2 * w, 1), depthwise(2 * w, 2 * w),
                nn.Conv2d(2 * w, self.CLASSES, 1),
            )
            for c in (4 * w, 8 * w)
        )  # fmt: skip
        self.register_buffer("bins", torch.arange(self.BINS, dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return corners ``(B, anchors, 4)`` and class scores ``(B, anchors, CLASSES)``."""
        p3 = self.p3(image)
        p4 = self.p4(p3)
        up = self.up(torch.cat([functional.interpolate(p4, scale_factor=2.0), p3], 1))
        corners, scores = [], []
        for k, x in enumerate((up, p4)):
            b, _, h, w = x.shape
            shares = self.boxes[k](x).view(b, 4, self.BINS, h * w).softmax(2)
            distances = torch.einsum("bskn,k->bns", shares, self.bins)
            ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            centre = torch.stack([xs, ys], -1).view(1, h * w, 2) + 0.5
            near, far = distances.chunk(2, -1)
            corners.append(torch.cat([centre - near, centre + far], -1) * self.STRIDES[k])
            scores.append(self.classes[k](x).flatten(2).transpose(1, 2).sigmoid())
        return torch.cat(corners, 1), torch.cat(scores, 1)


class EndToEndDetector(nn.Module):
    """YOLOv10: separate down-sampling, large depthwise kernels, the best boxes instead of NMS."""

    CLASSES, KEPT = 7, 10

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.body = nn.Sequential(
            conv(3, w, 3, 2), conv(w, 2 * w, 3, 2), conv(2 * w, 4 * w, 1),
            depthwise(4 * w, 4 * w, 3, 2), depthwise(4 * w, 4 * w, 7), conv(4 * w, 8 * w, 1),
            depthwise(8 * w, 8 * w, 3), conv(8 * w, 4 * w, 1), SplitAttention(4 * w),
        )  # fmt: skip
        self.boxes = nn.Sequential(conv(4 * w, w), nn.Conv2d(w, 4, 1), nn.ReLU())
        self.classes = nn.Sequential(depthwise(4 * w, 4 * w), nn.Conv2d(4 * w, self.CLASSES, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes ``(B, KEPT, 4)``, their scores and their classes, best first."""
        x = self.body(image)
        boxes = self.boxes(x).flatten(2).transpose(1, 2)
        scores = self.classes(x).flatten(2).transpose(1, 2).sigmoid()
        best, place = scores.amax(-1).topk(self.KEPT, dim=1)
        index = place[..., None]
        kept = boxes.gather(1, index.expand(-1, -1, 4))
        chosen = scores.gather(1, index.expand(-1, -1, self.CLASSES)).argmax(-1)
        return kept, best, chosen


class BiFpn(nn.Module):
    """Three levels fused up and down with learned shares, shared heads behind.

    Source: Tan et al., "EfficientDet", CVPR 2020, section 3.
    """

    def __init__(self) -> None:
        super().__init__()
        w = WIDTH
        self.levels = nn.ModuleList(
            [conv(3, w, 3, 2), conv(w, 2 * w, 3, 2), conv(2 * w, 4 * w, 3, 2)]
        )
        self.lateral = nn.ModuleList(conv(c, 2 * w, 1) for c in (w, 2 * w, 4 * w))
        self.fused = nn.ModuleList(
            nn.Sequential(depthwise(2 * w, 2 * w), conv(2 * w, 2 * w, 1)) for _ in range(4)
        )
        self.shares = nn.Parameter(torch.rand(4, 3) + 0.5)
        self.head = nn.Sequential(depthwise(2 * w, 2 * w), nn.Conv2d(2 * w, 9, 1))

    def fuse(self, k: int, *parts: Tensor) -> Tensor:
        """Return the weighted mean of feature maps, refined."""
        shares = torch.relu(self.shares[k, : len(parts)])
        shares = shares / (shares.sum() + 1e-4)
        total = sum(share * part for share, part in zip(shares.unbind(), parts, strict=True))
        return self.fused[k](total)

    def forward(self, image: Tensor) -> Tensor:
        """Return scores of every cell of every level, ``(B, cells, 9)``."""
        features, x = [], image
        for level, lateral in zip(self.levels, self.lateral, strict=True):
            x = level(x)
            features.append(lateral(x))
        low, middle, high = features
        inner = self.fuse(0, middle, functional.interpolate(high, scale_factor=2.0))
        low = self.fuse(1, low, functional.interpolate(inner, scale_factor=2.0))
        middle = self.fuse(2, middle, inner, functional.max_pool2d(low, 3, 2, 1))
        high = self.fuse(3, high, functional.max_pool2d(middle, 3, 2, 1))
        heads = [self.head(y).flatten(2) for y in (low, middle, high)]
        return torch.cat(heads, 2).transpose(1, 2)


NETWORKS: Networks = {
    "yolo_v5": (AnchorDetector, image(64)),
    "yolo_v10": (EndToEndDetector, image(64)),
    "yolo_v11": (FreeDetector, image(64)),
    "bifpn": (BiFpn, image(32)),
}
