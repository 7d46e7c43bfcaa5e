"""Export small networks of kinds that neither torchvision, timm nor transformers hold.

    python models/own_zoo.py OUT

writes OUT/NAME.onnx (legacy exporter), OUT/NAME.batch.onnx (its batch axis left open) and
OUT/NAME.dynamo.onnx. The networks are in ``own/``, by theme.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import torch
from export_jobs import Job, Subject, run_all, summarise
from export_options import export_options
from own import (
    attentions,
    backbones,
    detectors,
    enhancers,
    fields,
    generation,
    generators,
    neighbours,
    points,
    recurrent,
    restoration,
    sequences,
    stages,
    tables,
    yolo,
)
from own.inputs import BATCH, Networks
from stirred_weights import stir

NETWORKS: Networks = {
    **backbones.NETWORKS,
    **stages.NETWORKS,
    **restoration.NETWORKS,
    **enhancers.NETWORKS,
    **generation.NETWORKS,
    **generators.NETWORKS,
    **yolo.NETWORKS,
    **detectors.NETWORKS,
    **sequences.NETWORKS,
    **recurrent.NETWORKS,
    **attentions.NETWORKS,
    **tables.NETWORKS,
    **fields.NETWORKS,
    **points.NETWORKS,
    **neighbours.NETWORKS,
}
NO_LEGACY = ("gfnet", "fourier_operator", "graph_attention")
"""The legacy exporter has no Fourier transform, and loses the rank of a maximum over edges."""
NO_BATCH = ("style_generator",)
"""The legacy exporter wants to know the shape of a kernel, and here the batch is part of it."""
NO_DYNAMO = ("packed_tagger",)
"""torch.export does not know what is packed before it has seen the lengths."""


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
    """Yield three exports of every network, without those that no exporter writes."""
    for name in names:
        if name not in NO_LEGACY:
            yield Job(name, "legacy", False, out / f"{name}.onnx", seed)
        if name not in (*NO_LEGACY, *NO_BATCH):
            yield Job(name, "legacy", True, out / f"{name}.batch.onnx", seed)
        if name not in NO_DYNAMO:
            yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)


@click.command()
@export_options(NETWORKS)
def main(out: Path, names: tuple[str, ...], timeout: float, again: bool, seed: int) -> None:
    """Export small networks of our own into OUT."""
    warnings.simplefilter("ignore")
    chosen = names or tuple(NETWORKS)
    summarise(run_all(jobs(chosen, out, seed), build, timeout, again))


if __name__ == "__main__":
    main()
