"""Random weights that use every layer, for models exported without training.

A fresh network hides mistakes: zero-initialised heads, residual gammas and layer scales make
its output independent of whole branches, and BatchNorm statistics of 0 and 1 make a wrong
slice of them invisible. Here every parameter is drawn again at a scale that keeps
activations of order one, and BatchNorm statistics are measured, then moved off their exact values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

PROJECTIONS = (nn.Linear, _ConvNd, nn.MultiheadAttention)
NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TABLES = {
    "class_token": 1.0,
    "pos_embedding": 0.5,
    "relative_position_bias_table": 0.5,
}
"""Standard deviation of parameters that belong to no projection or norm, by name."""


class UnknownParameterError(ValueError):
    """A model holds a parameter for which no scale is known."""

    def __init__(self, path: str, owner: nn.Module) -> None:
        """Name the parameter and the module that holds it."""
        super().__init__(
            f"parameter '{path}' of a {type(owner).__name__} has no known scale. "
            "Add it to TABLES in lively_weights.py and run again."
        )


@dataclass(frozen=True, slots=True)
class ActivationRange:
    """Standard deviations of what the projections and norms of a model put out.

    Attributes:
        least: smallest over all layers; near 0 means that a layer is dead.
        most: largest over all layers.
        response: relative change of the output between two inputs; near 0 means that the
            output hardly depends on the input.
    """

    least: float
    most: float
    response: float

    def __str__(self) -> str:
        """Return all three numbers, as the summary table shows them."""
        return f"{self.least:.2g}..{self.most:.2g}, {self.response:.2f}"

    @property
    def sane(self) -> bool:
        """Whether no layer died or exploded and the output follows the input."""
        return self.least > 1e-2 and self.most < 1e2 and self.response > 1e-2


def image_noise(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return images ``(count, 3, size, size)``: smooth blobs plus white noise, of order one.

    White noise alone looks the same to every global average; the blobs tell images apart.
    """
    blobs = torch.randn(count, 3, 7, 7, generator=generator)
    smooth = functional.interpolate(blobs, size=(size, size), mode="bilinear")
    return smooth + 0.5 * torch.randn(count, 3, size, size, generator=generator)


@torch.no_grad()
def enliven(model: nn.Module, batch: Tensor, generator: torch.Generator, spread: float) -> None:
    """Draw every parameter of ``model`` again and measure its BatchNorm statistics on ``batch``.

    Args:
        model: changed in place and left in eval mode.
        batch: input used for the statistics, several samples.
        generator: source of all draws.
        spread: standard deviation of the logarithm of each lane's scale. 0 makes lanes alike,
            0.5 ranks them about as clearly as training does.

    Raises:
        UnknownParameterError: if a parameter is of no known kind.
    """
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            path = f"{prefix}.{name}"
            parameter.copy_(redrawn(module, name, path, parameter, generator, spread))
    measure_statistics(model, batch, generator)
    model.eval()


def redrawn(
    owner: nn.Module,
    name: str,
    path: str,
    old: Tensor,
    generator: torch.Generator,
    spread: float,
) -> Tensor:
    """Return new values for one parameter, of the shape of ``old``.

    Projections get variance ``2 / fan_in``: He et al., "Delving Deep into Rectifiers",
    ICCV 2015, equation 10.
    """
    noise = torch.randn(old.shape, generator=generator)
    if name in TABLES:
        return TABLES[name] * noise
    if name == "layer_scale":
        return 0.2 + 0.8 * torch.rand(old.shape, generator=generator)
    if name.endswith("bias"):
        return 0.1 * noise
    if isinstance(owner, NORMS):
        gamma = 0.5 + torch.rand(old.shape, generator=generator)
        return gamma * lane_scales(old, generator, spread)
    if isinstance(owner, PROJECTIONS):
        fan_in = old[0].numel()
        return (2 / fan_in) ** 0.5 * noise * lane_scales(old, generator, spread)
    raise UnknownParameterError(path, owner)


def lane_scales(weight: Tensor, generator: torch.Generator, spread: float) -> Tensor:
    """Return one log-normal factor per output lane with mean square 1, ready to broadcast."""
    logarithm = spread * torch.randn(weight.shape[0], generator=generator) - spread**2
    return logarithm.exp().reshape(-1, *[1] * (weight.ndim - 1))


def measure_statistics(
    model: nn.Module, batch: Tensor, generator: torch.Generator, least: float = 1e-3
) -> None:
    """Set BatchNorm statistics to those of ``batch``, moved by about 10 % of their scale.

    Args:
        model: changed in place and left in eval mode.
        batch: input, several samples.
        generator: source of all draws.
        least: variance to which smaller ones are raised; what hardly varies is mostly rounding.
    """
    model.eval()
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches seen
        norm.train()
    model(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean, variance = norm.running_mean, norm.running_var
        assert mean is not None
        assert variance is not None
        variance.clamp_(min=least)
        mean += 0.1 * variance.sqrt() * torch.randn(mean.shape, generator=generator)
        variance *= (0.2 * torch.randn(variance.shape, generator=generator)).exp()


@torch.no_grad()
def activation_range(model: nn.Module, batch: Tensor) -> ActivationRange:
    """Run ``batch`` (two samples at least) and return how large activations are."""
    deviations: list[float] = []

    def record(_module: nn.Module, _inputs: object, output: object) -> None:
        deviations.extend(float(tensor.std()) for tensor in tensors_of(output))

    layers = [module for module in model.modules() if isinstance(module, (*PROJECTIONS, *NORMS))]
    hooks = [layer.register_forward_hook(record) for layer in layers]
    outputs = list(tensors_of(model(batch)))
    for hook in hooks:
        hook.remove()
    response = min(float((y[0] - y[1]).norm() / y[0].norm()) for y in outputs)
    return ActivationRange(min(deviations), max(deviations), response)


def tensors_of(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a tensor or in nested tuples and lists, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        yield from chain.from_iterable(map(tensors_of, value))
