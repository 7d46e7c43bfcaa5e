"""Graphs and point clouds."""

import torch
from torch import Tensor, nn

from own.inputs import BATCH, Networks


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


NETWORKS: Networks = {
    "graph": (
        GraphConvolutions,
        lambda: {
            "nodes": torch.randn(6, 8),
            "adjacency": torch.rand(6, 6),
            "edges": torch.randint(6, (2, 10)),
        },
    ),
    "pointnet": (PointNet, lambda: {"points": torch.randn(BATCH, 3, 40)}),
}
