"""Export the smallest model of every family in timm.

    python models/timm_zoo.py OUT

writes OUT/NAME.onnx with the legacy exporter (or OUT/NAME.dynamo.onnx where that fails), and for
every third small family OUT/NAME.dynamo.onnx and OUT/NAME.batch.onnx, the legacy exporter again
with the batch axis left open. The families are timm's own modules. Needs torch, torchvision and
timm; weights are random and nothing is downloaded.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import click
import torch
import torchvision_operators  # noqa: F401 - before timm, which imports torchvision
from export_jobs import Export, Job, Subject, run_all, summarise
from export_options import export_options
from lively_weights import image_noise, measure_statistics
from stirred_weights import stir
from torch import nn

SIZES = (128, 192, 224, 256)
"""Image sizes to try, smallest first; the model's own is tried last."""
EVERY = 3
"""Of how many families one is also exported with dynamo and with an open batch axis."""
LARGE = 20_000_000
"""Parameters above which a plain transformer is built with ``FEW`` blocks, where it lets us, and no
model is exported more than once."""
FEW = 4
LEAST_VARIANCE = {"halonet_h1": 0.3}
"""Where attention puts out nearly a constant, and norms would amplify its rounding to the size of
values, so that float32 and float64 disagree."""
BROKEN = ("gemma4_vit_167m",)
"""Models whose graph the dynamo exporter's simplifier breaks."""
CLASSES = 100
"""Of a head for feature extractors: as an output, features would pin the width of every block."""


def parameters(name: str) -> int:
    """Return the number of parameters of a timm model, without making them."""
    import timm

    with torch.device("meta"):
        return sum(p.numel() for p in timm.create_model(name).parameters())


def families() -> dict[str, str]:
    """Return the smallest member of every family in timm's registry, by family.

    timm's own miniatures for tests (``test_*``) are no members.
    """
    import timm

    smallest: dict[str, str] = {}
    for family in timm.list_modules():
        names = [n for n in timm.list_models(module=family) if not n.startswith("test_")]
        if names:
            smallest[family] = min(names, key=parameters)
    return smallest


def remembered(path: Path) -> dict[str, str]:
    """Return ``families()``, from ``path`` where an earlier run left them: they take minutes."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(families(), indent=1))
    return dict(json.loads(path.read_text()))


def jobs(names: dict[str, str], out: Path, seed: int) -> Iterator[Job]:
    """Yield every family's plain export first, then the two variants of some."""
    for name in names.values():
        yield Job(name, "legacy", False, out / f"{name}.onnx", seed)
    small = [name for name in names.values() if parameters(name) <= LARGE]
    for name in small[::EVERY]:
        yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)
        yield Job(name, "legacy", True, out / f"{name}.batch.onnx", seed)


def instead(outcomes: Sequence[Export], out: Path, seed: int) -> Iterator[Job]:
    """Yield an export with dynamo for every plain one that the legacy exporter could not make."""
    for outcome in outcomes:
        name = outcome.path.removesuffix(".onnx")
        if outcome.failure and "." not in name:
            yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)


def build(job: Job) -> Subject:
    """Return a model with stirred weights and the smallest image that it accepts."""
    import timm.layers

    timm.layers.set_exportable(True)
    model, size = fitting(job.name)
    generator = torch.Generator().manual_seed(job.seed)
    stir(model, generator)
    with torch.no_grad():
        least = LEAST_VARIANCE.get(job.name, 1e-3)
        measure_statistics(model, image_noise(4, size, generator), generator, least)
    image = image_noise(1, size, generator)
    return Subject(
        model,
        {"input": image},
        {"input": {0: "batch"}},
        positional=True,
        simplified=job.name not in BROKEN,
    )


def fitting(name: str) -> tuple[nn.Module, int]:
    """Return a model in eval mode and the first of ``SIZES`` that runs through it."""
    import timm

    config = timm.get_pretrained_cfg(name)
    own = config.input_size[-1] if config else SIZES[-1]
    head = {} if config and config.num_classes else {"num_classes": CLASSES}
    blocks = ({"depth": FEW}, {}) if parameters(name) > LARGE else ({},)
    for size in dict.fromkeys((*[s for s in SIZES if s < own], own)):
        for few, image in product(blocks, ({"img_size": size}, {})):
            try:
                model = timm.create_model(name, **head, **few, **image).eval()
                with torch.no_grad():  # inference tensors in a cache would stop the exporter
                    model(torch.zeros(1, 3, size, size))
            except (TypeError, ValueError, AssertionError, RuntimeError, IndexError):
                continue
            return model, size
    model = timm.create_model(name).eval()
    return model, own


@click.command()
@export_options()
def main(out: Path, names: tuple[str, ...], timeout: float, again: bool, seed: int) -> None:
    """Export the smallest model of every timm family into OUT, or the models that are named."""
    warnings.simplefilter("ignore")
    chosen = dict(zip(names, names, strict=True)) or remembered(out / "families.json")
    outcomes = run_all(jobs(chosen, out, seed), build, timeout, again)
    summarise([*outcomes, *run_all(instead(outcomes, out, seed), build, timeout, again)])


if __name__ == "__main__":
    main()
