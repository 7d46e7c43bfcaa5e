"""Attention of unusual kinds: relative, latent, linear, retained, mixed in time, cached."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks

WIDTH, HEADS = 48, 4
SIZE = WIDTH // HEADS
LENGTH = 8


def features() -> dict[str, Tensor]:
    """Return a sequence of features."""
    return {"x": torch.randn(BATCH, LENGTH, 20)}


def split(x: Tensor) -> Tensor:
    """Return heads first, ``(B, HEADS, T, SIZE)``."""
    return x.unflatten(-1, (HEADS, SIZE)).transpose(1, 2)


class Stack(nn.Module):
    """Mixers and feed-forward layers around a residual stream, and class scores."""

    def __init__(self, *mixers: nn.Module) -> None:
        super().__init__()
        self.enter = nn.Linear(20, WIDTH)
        self.mixers = nn.ModuleList(mixers)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in mixers)
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 96), nn.GELU(), nn.Linear(96, WIDTH)
            )
            for _ in mixers
        )
        self.head = nn.Linear(WIDTH, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of every step."""
        x = self.enter(x)
        for mixer, norm, layer in zip(self.mixers, self.norms, self.layers, strict=True):
            x = x + mixer(norm(x))
            x = x + layer(x)
        return self.head(x)


class RelativeAttention(nn.Module):
    """Transformer-XL: keys of content and of distance, two biases, the relative shift.

    Source: Dai et al., "Transformer-XL", ACL 2019, section 3.3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.distance = nn.Linear(WIDTH, WIDTH, bias=False)
        self.content = nn.Parameter(torch.randn(HEADS, 1, SIZE))
        self.place = nn.Parameter(torch.randn(HEADS, 1, SIZE))
        self.register_buffer("positions", torch.randn(LENGTH, WIDTH))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, WIDTH)``."""
        b, n, _ = x.shape
        q, k, v = map(split, self.qkv(x).chunk(3, -1))
        r = split(self.distance(self.positions)[None])
        scores = (q + self.content) @ k.transpose(-2, -1)
        moved = functional.pad((q + self.place) @ r.transpose(-2, -1), (1, 0))
        moved = moved.reshape(b, HEADS, n + 1, n)[:, :, 1:]
        allowed = torch.ones(n, n, dtype=torch.bool).tril()
        scores = ((scores + moved) * SIZE**-0.5).masked_fill(~allowed, -1e4)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class LinearAttention(nn.Module):
    """Keys and values summed before the queries come. Source: Katharopoulos et al., ICML 2020."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, WIDTH)``."""
        q, k = (split(functional.elu(f(x)) + 1) for f in (self.q, self.k))
        memory = torch.einsum("bhtd,bhte->bhde", k, split(self.v(x)))
        scale = 1 / (torch.einsum("bhtd,bhd->bht", q, k.sum(2)) + 1e-6)
        y = torch.einsum("bhtd,bhde,bht->bhte", q, memory, scale)
        return self.out(y.transpose(1, 2).flatten(2))


class Retention(nn.Module):
    """Decay instead of softmax, a norm per head, a gate. Source: Sun et al., arXiv 2307.08621."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.gate = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.norm = nn.GroupNorm(HEADS, WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        steps = torch.arange(LENGTH)
        gaps = (steps[:, None] - steps[None]).float()
        rates = 1 - 2.0 ** -(2 + torch.arange(HEADS).float())
        self.register_buffer("decay", torch.where(gaps >= 0, rates[:, None, None] ** gaps, 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, WIDTH)``."""
        q, k, v = (split(f(x)) for f in (self.q, self.k, self.v))
        y = ((q @ k.transpose(-2, -1)) * SIZE**-0.5 * self.decay) @ v
        y = self.norm(y.transpose(1, 2).flatten(0, 1).flatten(1)).view(x.shape)
        return self.out(functional.silu(self.gate(x)) * y)


class TimeMixing(nn.Module):
    """RWKV: shifted inputs, a running weighted mean with decay per channel, a receptance gate.

    Source: Peng et al., "RWKV", EMNLP 2023, section 3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.rand(3, WIDTH))
        self.decay, self.bonus = (nn.Parameter(torch.rand(WIDTH)) for _ in range(2))
        self.r, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, WIDTH)``."""
        before = functional.pad(x, (0, 0, 1, -1))
        mixed = [x * share + before * (1 - share) for share in self.shares]
        r, k, v = self.r(mixed[0]).sigmoid(), self.k(mixed[1]).tanh(), self.v(mixed[2])
        total, weight, rows = torch.zeros_like(v[:, 0]), torch.zeros_like(v[:, 0]), []
        keep = (-self.decay.exp()).exp()
        for t in range(LENGTH):
            now = (self.bonus + k[:, t]).exp()
            rows.append((total + now * v[:, t]) / (weight + now))
            total = keep * total + k[:, t].exp() * v[:, t]
            weight = keep * weight + k[:, t].exp()
        return self.out(r * torch.stack(rows, 1))


class Perceiver(nn.Module):
    """Latents read the input, think, and are read by queries. Source: Jaegle et al., ICLR 2022."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(6, WIDTH))
        self.queries = nn.Parameter(torch.randn(3, 32))
        self.enter = nn.Linear(20, 40)
        self.read = nn.MultiheadAttention(WIDTH, HEADS, kdim=40, vdim=40, batch_first=True)
        self.think = nn.TransformerEncoderLayer(WIDTH, HEADS, 96, batch_first=True)
        self.write = nn.MultiheadAttention(32, 2, kdim=WIDTH, vdim=WIDTH, batch_first=True)
        self.head = nn.Linear(32, 7)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of three answers."""
        x = self.enter(x).relu()
        y = self.latents.expand(x.shape[0], -1, -1)
        y = self.think(y + self.read(y, x, x)[0])
        queries = self.queries.expand(x.shape[0], -1, -1)
        return self.head(queries + self.write(queries, y, y)[0])


class CachedDecoder(nn.Module):
    """One step of a translator: own keys and values grow, those of the source are given."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(3))
        self.qkv, self.own = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.query, self.cross = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.source = nn.Linear(20, 2 * WIDTH)
        self.layer = nn.Sequential(nn.Linear(WIDTH, 96), nn.ReLU(), nn.Linear(96, WIDTH))
        self.head = nn.Linear(WIDTH, 50)

    def forward(
        self, token: Tensor, source: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next word's scores, and keys and values ``(B, HEADS, T + 1, SIZE)``."""
        x = self.table(token)
        q, k, v = map(split, self.qkv(self.norms[0](x)).chunk(3, -1))
        keys, values = torch.cat([keys, k], 2), torch.cat([values, v], 2)
        y = ((q @ keys.transpose(-2, -1)) * SIZE**-0.5).softmax(-1) @ values
        x = x + self.own(y.transpose(1, 2).flatten(2))
        k, v = map(split, self.source(source).chunk(2, -1))
        q = split(self.query(self.norms[1](x)))
        y = ((q @ k.transpose(-2, -1)) * SIZE**-0.5).softmax(-1) @ v
        x = x + self.cross(y.transpose(1, 2).flatten(2))
        return self.head(x + self.layer(self.norms[2](x))), keys, values


class Fourier(nn.Module):
    """GFNet: a learned filter in the spectrum. Source: Rao et al., NeurIPS 2021."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(LENGTH // 2 + 1, WIDTH, 2))
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, T, WIDTH)``."""
        real, imaginary = torch.view_as_real(torch.fft.rfft(x, dim=1)).unbind(-1)
        a, b = self.filter.unbind(-1)
        turned = torch.stack([real * a - imaginary * b, real * b + imaginary * a], -1)
        return self.out(torch.fft.irfft(torch.view_as_complex(turned), n=LENGTH, dim=1))


NETWORKS: Networks = {
    "transformer_xl": (lambda: Stack(RelativeAttention(), RelativeAttention()), features),
    "linear_attention": (lambda: Stack(LinearAttention(), LinearAttention()), features),
    "retnet": (lambda: Stack(Retention(), Retention()), features),
    "rwkv": (lambda: Stack(TimeMixing()), features),
    "perceiver": (Perceiver, features),
    "gfnet": (lambda: Stack(Fourier()), features),
    "cached_decoder": (
        CachedDecoder,
        lambda: {
            "token": torch.randint(50, (BATCH, 1)),
            "source": torch.randn(BATCH, 6, 20),
            "keys": torch.randn(BATCH, HEADS, 5, SIZE),
            "values": torch.randn(BATCH, HEADS, 5, SIZE),
        },
    ),
}
