"""Recommenders, fields of coordinates and other networks of features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks


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


NETWORKS: Networks = {
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
    "siren": (
        Siren,
        lambda: {"points": torch.randn(BATCH, 30, 2), "code": torch.randn(BATCH, 8)},
    ),
}
