"""Functions that networks learn: splines on edges, generated weights, flows in time, operators."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from own.inputs import BATCH, Networks, image


class SplineLayer(nn.Module):
    """KAN: a linear spline and a SiLU on every edge. Source: Liu et al., ICLR 2025."""

    KNOTS = 6

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs)
        self.edges = nn.Parameter(torch.randn(outputs, inputs, self.KNOTS) / inputs**0.5)
        self.register_buffer("knots", torch.linspace(-2, 2, self.KNOTS))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, outputs)``."""
        hats = (1 - (x[..., None] - self.knots).abs() / 0.8).relu()
        return self.base(functional.silu(x)) + torch.einsum("bik,oik->bo", hats, self.edges)


class Kan(nn.Sequential):
    """Three such layers."""

    def __init__(self) -> None:
        super().__init__(SplineLayer(6, 32), SplineLayer(32, 24), SplineLayer(24, 3))


class HyperNetwork(nn.Module):
    """A task's code becomes the weights and biases of two layers, one set per row."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 32), nn.ReLU())
        self.enter = nn.Linear(10, 24)
        self.first, self.second = nn.Linear(32, 24 * 16), nn.Linear(32, 16 * 4)
        self.bias = nn.Linear(32, 16)

    def forward(self, x: Tensor, task: Tensor) -> Tensor:
        """Return ``(B, 4)``."""
        code = self.body(task)
        y = self.enter(x).tanh()[:, None]
        y = torch.baddbmm(self.bias(code)[:, None], y, self.first(code).view(-1, 24, 16)).relu()
        return torch.bmm(y, self.second(code).view(-1, 16, 4))[:, 0]


class NeuralOde(nn.Module):
    """Four Runge-Kutta steps of one network with shared weights. Source: Chen et al., 2018."""

    STEPS = 4

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.head = nn.Linear(10, 24), nn.Linear(24, 3)
        self.slope = nn.Sequential(nn.Linear(25, 48), nn.Tanh(), nn.Linear(48, 24))

    def derivative(self, x: Tensor, time: float) -> Tensor:
        """Return ``dx/dt``."""
        return self.slope(functional.pad(x, (0, 1), value=time))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, 3)``."""
        x, h = self.enter(x), 1 / self.STEPS
        for step in range(self.STEPS):
            t = step * h
            a = self.derivative(x, t)
            b = self.derivative(x + h / 2 * a, t + h / 2)
            c = self.derivative(x + h / 2 * b, t + h / 2)
            x = x + h / 6 * (a + 2 * b + 2 * c + self.derivative(x + h * c, t + h))
        return self.head(x)


class SpectralConv(nn.Module):
    """Products of the lowest frequencies of an image with complex matrices."""

    def __init__(self, width: int, modes: int) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(2, width, width, modes, modes) / width)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, width, H, W)``."""
        m = self.modes
        h, w = x.shape[2:]
        low = torch.view_as_real(torch.fft.rfft2(x))[:, :, :m, :m]
        (a, b), (c, d) = low.unbind(-1), self.weight.unbind(0)
        real = torch.einsum("bixy,ioxy->boxy", a, c) - torch.einsum("bixy,ioxy->boxy", b, d)
        imaginary = torch.einsum("bixy,ioxy->boxy", a, d) + torch.einsum("bixy,ioxy->boxy", b, c)
        kept = functional.pad(
            torch.stack([real, imaginary], -1), (0, 0, 0, w // 2 + 1 - m, 0, h - m)
        )
        return torch.fft.irfft2(torch.view_as_complex(kept), s=(h, w))


class FourierOperator(nn.Module):
    """FNO: spectral convolutions beside pointwise ones. Source: Li et al., ICLR 2021."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Conv2d(3, 16, 1)
        self.spectral = nn.ModuleList(SpectralConv(16, 4) for _ in range(2))
        self.point = nn.ModuleList(nn.Conv2d(16, 16, 1) for _ in range(2))
        self.head = nn.Sequential(nn.Conv2d(16, 32, 1), nn.GELU(), nn.Conv2d(32, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Return a field of the same size."""
        x = self.lift(image)
        for spectral, point in zip(self.spectral, self.point, strict=True):
            x = functional.gelu(spectral(x) + point(x))
        return self.head(x)


NETWORKS: Networks = {
    "kan": (Kan, lambda: {"x": torch.randn(BATCH, 6)}),
    "hypernetwork": (
        HyperNetwork,
        lambda: {"x": torch.randn(BATCH, 10), "task": torch.randn(BATCH, 8)},
    ),
    "neural_ode": (NeuralOde, lambda: {"x": torch.randn(BATCH, 10)}),
    "fourier_operator": (FourierOperator, image(16)),
}
