"""Graphs with attention over edges, and point clouds with neighbourhoods."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks

NODES, EDGES = 6, 14


class GraphAttention(nn.Module):
    """GAT: a softmax over the edges into every node. Source: Velickovic et al., ICLR 2018."""

    def __init__(self, inputs: int, heads: int, size: int) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.project = nn.Linear(inputs, heads * size, bias=False)
        self.source, self.target = (nn.Parameter(torch.randn(heads, size)) for _ in range(2))

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return ``(nodes, heads * size)``."""
        x = self.project(nodes).view(-1, self.heads, self.size)
        source, target = edges[0], edges[1]
        score = (x * self.source).sum(-1)[source] + (x * self.target).sum(-1)[target]
        share = functional.leaky_relu(score, 0.2).exp()
        index = target[:, None].expand(-1, self.heads)
        whole = torch.zeros(x.shape[0], self.heads).scatter_add(0, index, share)
        share = share / (whole[target] + 1e-9)
        sent = (share[..., None] * x[source]).flatten(1)
        index = target[:, None].expand_as(sent)
        return torch.zeros(x.shape[0], sent.shape[1]).scatter_add(0, index, sent)


class GraphAttentionNet(nn.Module):
    """Two such layers, a mean over incoming edges, and a score for the whole graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphAttention(8, 4, 8), GraphAttention(32, 2, 12)
        self.message = nn.Linear(24, 32)
        self.head = nn.Linear(56, 4)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Return class scores ``(1, 4)``."""
        x = functional.elu(self.first(nodes, edges))
        x = functional.elu(self.second(x, edges))
        sent = self.message(x)[edges[0]].relu()
        index = edges[1][:, None].expand_as(sent)
        received = torch.zeros(x.shape[0], 32).scatter_reduce(
            0, index, sent, "amax", include_self=True
        )
        return self.head(torch.cat([x, received], 1).mean(0, keepdim=True))


def nearest(points: Tensor, centres: Tensor, count: int) -> Tensor:
    """Return numbers of the points nearest to each centre, ``(B, centres, count)``."""
    distance = (centres[:, :, None] - points[:, None]).pow(2).sum(-1)
    return distance.topk(count, largest=False).indices


def rows(x: Tensor, index: Tensor) -> Tensor:
    """Return ``x[b, index[b]]``, shape ``(B, centres, count, C)``."""
    b, m, k = index.shape
    flat = index.reshape(b, m * k, 1).expand(-1, -1, x.shape[2])
    return x.gather(1, flat).view(b, m, k, x.shape[2])


class SetAbstraction(nn.Module):
    """A shared network over the neighbours of every second point, and their maximum."""

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.body = nn.Sequential(
            nn.Conv2d(inputs + 3, outputs, 1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, points: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the centres and their features."""
        centres = points[:, ::2]
        index = nearest(points, centres, self.count)
        near = rows(points, index) - centres[:, :, None]
        y = self.body(torch.cat([near, rows(x, index)], -1).permute(0, 3, 1, 2))
        return centres, y.amax(3).transpose(1, 2)


class PointNetPlus(nn.Module):
    """PointNet++ with two levels and interpolation back. Source: Qi et al., NeurIPS 2017."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SetAbstraction(3, 24, 6), SetAbstraction(24, 40, 4)
        self.back = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, 5)

    def forward(self, points: Tensor) -> Tensor:
        """Return class scores per point of the first level; ``points`` is ``(B, n, 3)``."""
        centres, x = self.first(points, points)
        few, y = self.second(centres, x)
        index = nearest(few, centres, 3)
        gap = (rows(few, index) - centres[:, :, None]).pow(2).sum(-1, keepdim=True)
        share = 1 / (gap + 1e-2)
        share = share / share.sum(2, keepdim=True)
        return self.head(self.back(torch.cat([x, (share * rows(y, index)).sum(2)], -1)))


class EdgeConv(nn.Module):
    """DGCNN: differences to neighbours in feature space. Source: Wang et al., TOG 2019."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 24), nn.Linear(48, 40)
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))

    def edges(self, x: Tensor, space: Tensor) -> Tensor:
        """Return ``(B, n, 5, 2C)``: a point's features, and where its neighbours differ."""
        near = rows(x, nearest(space, space, 5))
        own = x[:, :, None].expand_as(near)
        return torch.cat([own, near - own], -1)

    def forward(self, points: Tensor) -> Tensor:
        """Return class scores of the cloud."""
        x = self.first(self.edges(points, points)).relu().amax(2)
        y = self.second(self.edges(x, points)).relu().amax(2)
        return self.head(torch.cat([x, y], -1).amax(1))


NETWORKS: Networks = {
    "graph_attention": (
        GraphAttentionNet,
        lambda: {
            "nodes": torch.randn(NODES, 8),
            "edges": torch.randint(NODES, (2, EDGES)),
        },
    ),
    "pointnet_plus": (PointNetPlus, lambda: {"points": torch.randn(BATCH, 32, 3)}),
    "edge_conv": (EdgeConv, lambda: {"points": torch.randn(BATCH, 24, 3)}),
}
