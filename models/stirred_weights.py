"""Random weights for any module at all: what an architecture left at a constant is drawn again.

``lively_weights.enliven`` knows every parameter of the models it accepts and refuses others. A
survey of hundreds of families cannot, so this follows two rules only: projections and norms are
drawn as there, and of everything else the constants (zero gates, layer scales of 1e-6, fresh
position tables) get noise, while what the author drew at random stays.
"""

import torch
from lively_weights import NORMS, PROJECTIONS, redrawn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

SMALLEST_SPREAD = 0.05
"""Standard deviation below which a drawn parameter is scaled up; 0.02 is the habit of vision
transformers, and leaves their branches without a say."""


@torch.no_grad()
def stir(model: nn.Module, generator: torch.Generator, spread: float = 0.0) -> None:
    """Draw the weights of ``model`` in place, and leave it in eval mode.

    Args:
        model: any module.
        generator: source of all draws.
        spread: see ``lively_weights.enliven``.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.is_floating_point():
                continue
            weight = isinstance(module, PROJECTIONS) and parameter.ndim > 1
            if weight or isinstance(module, NORMS):
                new = redrawn(module, name, name, parameter, generator, spread)
            else:
                new = with_noise(parameter, generator)
            parameter.copy_(new)
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            draw_statistics(module, generator)
    model.eval()


def with_noise(old: Tensor, generator: torch.Generator) -> Tensor:
    """Return ``old`` with a spread that matters: constants get noise, weak tables are amplified."""
    deviation = float(old.std()) if old.numel() > 1 else 0.0
    if deviation >= SMALLEST_SPREAD:
        return old
    if deviation > 1e-4:
        return old.mean() + (old - old.mean()) * (SMALLEST_SPREAD * 2 / deviation)
    noise = torch.randn(old.shape, generator=generator)
    level = float(old.abs().mean())
    return old + 0.2 * noise if level > 1e-2 else 0.3 * noise


def draw_statistics(norm: _BatchNorm, generator: torch.Generator) -> None:
    """Move BatchNorm statistics off 0 and 1, so that a wrong slice of them shows."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    shape = norm.running_mean.shape
    norm.running_mean.copy_(0.2 * torch.randn(shape, generator=generator))
    norm.running_var.copy_((0.3 * torch.randn(shape, generator=generator)).exp())


@torch.no_grad()
def calm(model: nn.Module, gain: float = 0.5) -> None:
    """Scale the weights of all projections by ``gain``.

    For models that multiply activations with each other again and again: rounding would grow until
    float32 and float64 disagree.
    """
    for module in model.modules():
        if isinstance(module, PROJECTIONS):
            for parameter in module.parameters(recurse=False):
                if parameter.ndim > 1:
                    parameter *= gain
