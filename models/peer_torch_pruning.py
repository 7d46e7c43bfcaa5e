"""Prune a model of the PyTorch zoo scripts with Torch-Pruning as its README advises.

As it is, an unchanged model goes through the README's quickstart, with the output layers ignored.
With hints, the pruner is also told what ``peer_hints`` finds, and attributes are set afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torchvision_operators  # noqa: F401 - before what imports torchvision
from export_jobs import Build, Job, Positional
from isolated import Figures, Stages
from peer_hints import Hints, adjust, hints_of
from peer_onnxsim import InvalidResultError
from torch import Tensor, nn

SCRIPTS = {
    "own": "own_zoo",
    "timm": "timm_zoo",
    "torchvision": "torchvision_zoo",
    "torchvision_more": "torchvision_zoo",
    "transformers": "transformers_zoo",
}
"""Scripts that build the models of a zoo's folders."""
LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""Modules that make new channels; others with parameters, such as norms, pass channels on."""
PRODUCTS = (
    "MmBackward",
    "AddmmBackward",
    "BmmBackward",
    "BaddbmmBackward",
    "ScaledDotProduct",
    "ConvolutionBackward",
)
"""Autograd's names of products, whose results have other channels than their operands."""
TRANSPOSES = {"TBackward0", "TransposeBackward0"}


def builder(folder: str) -> Build:
    """Return the function that builds the models of one of the zoo's folders."""
    build: Build = import_module(SCRIPTS[folder]).build
    return build


def fresh(folder: str, name: str) -> tuple[Positional, list[Tensor]]:
    """Return a model to be called with its inputs in order, and the inputs."""
    torch.manual_seed(0)
    subject = builder(folder)(Job(name, "legacy", False, Path(f"{name}.onnx")))
    model = Positional(subject).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(True)  # the graph is read off autograd
    return model, list(subject.inputs.values())


def prune_model(
    folder: str, name: str, ratio: float, stages: Stages, hinted: bool = False
) -> Figures:
    """Prune one model and return its parameters before and after.

    Raises:
        InvalidResultError: the pruned model's outputs have other shapes.
    """
    torch.set_num_threads(1)
    with stages("original"):
        model, inputs = fresh(folder, name)
        with torch.no_grad():
            expected = model(*inputs)
        before = count_parameters(model)
        ignored = output_layers(model, inputs)
        hints = hints_of(model) if hinted else Hints()
    prune_in_place(model, inputs, ignored, ratio, stages, hints)
    adjust(model, hints)
    with stages("check"):
        check(model, inputs, expected)
    return {"before": before, "after": count_parameters(model)}


def prune_in_place(
    model: nn.Module,
    inputs: Sequence[Tensor],
    ignored: Sequence[nn.Module],
    ratio: float,
    stages: Stages,
    hints: Hints,
) -> None:
    """Build the dependency graph and prune every group by the ratio."""
    import torch_pruning

    with stages("graph"):
        pruner = torch_pruning.pruner.BasePruner(
            model,
            list(inputs),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=[*ignored, *hints.ignored],
            in_channel_groups={},  # the default is one dictionary for all pruners of a process
            out_channel_groups=hints.groups,
            **hints.options(ratio),
        )
    with stages("prune"):
        pruner.step()


def check(model: Positional, inputs: Sequence[Tensor], expected: Sequence[Tensor]) -> None:
    """Run a pruned model; its outputs must be as long in every axis as before, and as finite.

    Detectors find what they find: the first axis of their outputs is free.

    Raises:
        InvalidResultError: an output differs.
    """
    with torch.no_grad():
        got = model(*inputs)
    if len(expected) != len(got):
        raise InvalidResultError(f"{len(got)} outputs and had {len(expected)}")
    first = int(type(model.model).__name__ == "Detector")
    for number, (a, b) in enumerate(zip(expected, got, strict=True)):
        if a.ndim != b.ndim or a.shape[first:] != b.shape[first:]:
            shapes = f"{tuple(b.shape)} and had {tuple(a.shape)}"
            raise InvalidResultError(f"output {number} has shape {shapes}")
        if a.is_floating_point() and a.isfinite().all() and not b.isfinite().all():
            raise InvalidResultError(f"output {number} is not finite any more")


def count_parameters(model: nn.Module) -> int:
    """Return the elements of all parameters and of floating-point buffers.

    An exported file holds both: running means and variances of batch norms are buffers.
    """
    buffers = (buffer for buffer in model.buffers() if buffer.is_floating_point())
    return sum(p.numel() for p in model.parameters()) + sum(b.numel() for b in buffers)


def output_layers(model: nn.Module, inputs: Sequence[Tensor]) -> list[nn.Module]:
    """Return the layers whose channels are channels of an output, found in autograd's graph.

    From every output the walk goes back through what passes channels on, and ends at products. Of
    a tied weight the layer counts, not the embedding, whose width is no output.
    """
    owners: dict[int, list[nn.Module]] = {}
    for module in model.modules():
        whole = isinstance(module, LAYERS) or not any(True for _ in module.children())
        for parameter in module.parameters(recurse=False):
            if whole and not isinstance(module, nn.Embedding):
                owners.setdefault(id(parameter), []).append(module)
    waiting: list[Any] = [tensor.grad_fn for tensor in model(*inputs)]
    seen = set[Any]()
    found: dict[nn.Module, None] = {}
    while waiting:
        function = waiting.pop()
        if function is None or function in seen:
            continue
        seen.add(function)
        modules = [m for key in own_parameters(function) for m in owners.get(key, ())]
        found |= dict.fromkeys(modules)
        product = function.name().startswith(PRODUCTS)
        if not product and not any(isinstance(module, LAYERS) for module in modules):
            waiting += [before for before, _ in function.next_functions]
    return list(found)


def own_parameters(function: Any) -> Iterator[int]:
    """Yield the ids of the parameters that a step of autograd's graph reads.

    Linear layers read theirs through a transpose.
    """
    for before, _ in function.next_functions:
        if before is not None and before.name() in TRANSPOSES:
            before = before.next_functions[0][0]
        if hasattr(before, "variable"):
            yield id(before.variable)
