"""Export small networks of kinds that neither torchvision, timm nor transformers hold.

    python models/own_zoo.py OUT

writes OUT/NAME.onnx (legacy exporter), OUT/NAME.batch.onnx (its batch axis left open) and
OUT/NAME.dynamo.onnx.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch
from export_jobs import Job, Subject, run_all, summarise
from stirred_weights import stir
from torch import Tensor, nn
from torch.nn import functional

BATCH = 2
WIDTH = 16


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a convolution, its norm and a SiLU, as YOLO stacks them."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(),
    )


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


class TwoTower(nn.Module):
    """A recommender: tables of users and items, a tower for each, their cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.user_table, self.item_table = nn.Embedding(100, 32), nn.Embedding(150, 32)
        self.tags = nn.EmbeddingBag(40, 16, mode="mean")
        self.user = nn.Sequential(nn.Linear(32 + 6, 128), nn.ReLU(), nn.Linear(128, 64))
        self.item = nn.Sequential(nn.Linear(32 + 16, 128), nn.ReLU(), nn.Linear(128, 64))

    def forward(self, user: Tensor, features: Tensor, item: Tensor, tags: Tensor) -> Tensor:
        """Return a score per pair."""
        u = self.user(torch.cat([self.user_table(user), features], 1))
        bag = self.tags.weight[tags].mean(1)
        i = self.item(torch.cat([self.item_table(item), bag], 1))
        return (functional.normalize(u, dim=1) * functional.normalize(i, dim=1)).sum(1)


class Dlrm(nn.Module):
    """Dense features and tables meet in pairs. Source: Naumov et al., arXiv 1906.00091."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.tables = nn.ModuleList(nn.Embedding(50, 32) for _ in range(4))
        self.top = nn.Sequential(nn.Linear(32 + 25, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, dense: Tensor, numbers: Tensor) -> Tensor:
        """Return a score per row."""
        x = self.bottom(dense)
        rows = torch.stack([x, *(t(numbers[:, k]) for k, t in enumerate(self.tables))], 1)
        pairs = (rows @ rows.transpose(1, 2)).flatten(1)
        return self.top(torch.cat([x, pairs], 1))


class WaveNet(nn.Module):
    """Dilated gated convolutions with skips. Source: van den Oord et al., arXiv 1609.03499."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 32, 1)
        self.gated = nn.ModuleList(nn.Conv1d(32, 64, 2, dilation=2**k) for k in range(5))
        self.residual = nn.ModuleList(nn.Conv1d(32, 32, 1) for _ in range(5))
        self.skip = nn.ModuleList(nn.Conv1d(32, 48, 1) for _ in range(5))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(48, 64, 1), nn.ReLU(), nn.Conv1d(64, 20, 1))

    def forward(self, wave: Tensor) -> Tensor:
        """Return scores of the next sample's level."""
        x, total = self.stem(wave), 0
        for k, (gated, residual, skip) in enumerate(
            zip(self.gated, self.residual, self.skip, strict=True)
        ):
            a, b = gated(functional.pad(x, (2**k, 0))).chunk(2, dim=1)
            y = a.tanh() * b.sigmoid()
            total = total + skip(y)
            x = x + residual(y)
        return self.head(total)


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


class GraphConvolutions(nn.Module):
    """Two graph convolutions over a dense adjacency matrix, and a sum by edge lists."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 32), nn.Linear(32, 32)])
        self.message = nn.Linear(32, 32)
        self.head = nn.Linear(64, 4)

    def forward(self, nodes: Tensor, adjacency: Tensor, edges: Tensor) -> Tensor:
        """Return scores per node; ``edges`` is ``(2, E)``."""
        x = nodes
        for layer in self.layers:
            x = torch.relu(adjacency @ layer(x))
        messages = self.message(x)[edges[0]]
        index = edges[1][:, None].expand_as(messages)
        received = torch.zeros_like(x).scatter_add(0, index, messages)
        return self.head(torch.cat([x, received], 1))


class PointNet(nn.Module):
    """Shared layers over points, a learned transform, and a maximum over all."""

    def __init__(self) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Conv1d(3, 32, 1), nn.ReLU(), nn.Conv1d(32, 64, 1))
        self.matrix = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 9))
        self.points = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv1d(32, 64, 1), nn.BatchNorm1d(64), nn.ReLU())
        self.head = nn.Conv1d(96, 6, 1)

    def forward(self, points: Tensor) -> Tensor:
        """Return scores per point; ``points`` is ``(B, 3, n)``."""
        matrix = self.matrix(self.transform(points).amax(2)).view(-1, 3, 3)
        near = self.points(matrix @ points)
        whole = self.deep(near).amax(2, keepdim=True).expand(-1, -1, near.shape[2])
        return self.head(torch.cat([near, whole], 1))


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


class Seq2SeqAttention(nn.Module):
    """A GRU encoder, and a decoder of one step that attends additively. Source: Bahdanau, 2015."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 32)
        self.encoder = nn.GRU(32, 24, batch_first=True, bidirectional=True)
        self.keys, self.query, self.energy = nn.Linear(48, 32), nn.Linear(48, 32), nn.Linear(32, 1)
        self.step = nn.GRUCell(32 + 48, 48)
        self.head = nn.Linear(96, 50)

    def forward(self, tokens: Tensor, last: Tensor) -> Tensor:
        """Return scores of the next word."""
        states, final = self.encoder(self.table(tokens))
        hidden = torch.cat([final[0], final[1]], 1)
        energy = self.energy(torch.tanh(self.keys(states) + self.query(hidden)[:, None]))
        context = (energy.softmax(1) * states).sum(1)
        hidden = self.step(torch.cat([self.table(last), context], 1), hidden)
        return self.head(torch.cat([hidden, context], 1))


class CtcRecogniser(nn.Module):
    """A CRNN: convolutions, columns as time, two LSTM layers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.lstm = nn.LSTM(32 * 4, 32, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(64, 20)

    def forward(self, line: Tensor) -> Tensor:
        """Return log-probabilities ``(B, columns, 20)``; lines are 16 pixels high."""
        x = self.body(line).permute(0, 3, 1, 2).flatten(2)
        return self.head(self.lstm(x)[0]).log_softmax(-1)


class Siren(nn.Module):
    """Coordinates through sines, and a hypernetwork's scales and shifts (FiLM)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 64), nn.Linear(64, 64)
        self.film = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 128))
        self.head = nn.Linear(64, 3)

    def forward(self, points: Tensor, code: Tensor) -> Tensor:
        """Return a colour per point."""
        scale, shift = self.film(code)[:, None].split(64, dim=-1)
        x = (30 * self.first(points)).sin()
        return self.head((scale * self.second(x) + shift).sin())


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


def image(size: int, channels: int = 3) -> Callable[[], dict[str, Tensor]]:
    """Return a maker of square images."""
    return lambda: {"image": torch.randn(BATCH, channels, size, size)}


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Tensor]]]] = {
    "unet": (UNet, image(32)),
    "diffusion_unet": (
        DiffusionUNet,
        lambda: {"image": torch.randn(BATCH, 3, 16, 16), "step": torch.tensor([3.0, 40.0])},
    ),
    "yolo": (YoloDetector, image(64)),
    "two_tower": (
        TwoTower,
        lambda: {
            "user": torch.randint(100, (BATCH,)),
            "features": torch.randn(BATCH, 6),
            "item": torch.randint(150, (BATCH,)),
            "tags": torch.randint(40, (BATCH, 3)),
        },
    ),
    "dlrm": (
        Dlrm,
        lambda: {"dense": torch.randn(BATCH, 13), "numbers": torch.randint(50, (BATCH, 4))},
    ),
    "wavenet": (WaveNet, lambda: {"wave": torch.randn(BATCH, 1, 64)}),
    "mixer": (Mixer, image(32)),
    "super_resolution": (SuperResolution, image(16)),
    "unshuffled": (Unshuffled, image(16)),
    "graph": (
        GraphConvolutions,
        lambda: {
            "nodes": torch.randn(6, 8),
            "adjacency": torch.rand(6, 6),
            "edges": torch.randint(6, (2, 10)),
        },
    ),
    "pointnet": (PointNet, lambda: {"points": torch.randn(BATCH, 3, 40)}),
    "capsules": (Capsules, image(32)),
    "seq2seq": (
        Seq2SeqAttention,
        lambda: {"tokens": torch.randint(50, (BATCH, 7)), "last": torch.randint(50, (BATCH,))},
    ),
    "crnn": (CtcRecogniser, lambda: {"line": torch.randn(BATCH, 1, 16, 48)}),
    "siren": (
        Siren,
        lambda: {"points": torch.randn(BATCH, 30, 2), "code": torch.randn(BATCH, 8)},
    ),
    "vae": (
        VariationalAutoencoder,
        lambda: {"image": torch.randn(BATCH, 3, 32, 32), "noise": torch.randn(BATCH, 24)},
    ),
}


def build(job: Job) -> Subject:
    """Return a network with stirred weights and its inputs."""
    make_model, make_inputs = NETWORKS[job.name]
    torch.manual_seed(job.seed)
    model = make_model()
    stir(model, torch.Generator().manual_seed(job.seed))
    inputs = make_inputs()
    batched = {name: {0: "batch"} for name, value in inputs.items() if value.shape[0] == BATCH}
    return Subject(model, inputs, batched, positional=True)


def jobs(names: tuple[str, ...], out: Path, seed: int) -> Iterator[Job]:
    """Yield three exports of every network."""
    for name in names:
        yield Job(name, "legacy", False, out / f"{name}.onnx", seed)
        yield Job(name, "legacy", True, out / f"{name}.batch.onnx", seed)
        yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--model", "names", multiple=True, type=click.Choice([*NETWORKS]), help="Without it, all."
)
@click.option("--timeout", default=120.0, show_default=True, help="Seconds for one model.")
@click.option("--again", is_flag=True, help="Try what failed in an earlier run once more.")
@click.option("--seed", default=0, show_default=True)
def main(out: Path, names: tuple[str, ...], timeout: float, again: bool, seed: int) -> None:
    """Export small networks of our own into OUT."""
    warnings.simplefilter("ignore")
    chosen = names or tuple(NETWORKS)
    summarise(run_all(jobs(chosen, out, seed), build, timeout, again))


if __name__ == "__main__":
    main()
