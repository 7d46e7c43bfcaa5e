"""Export small random members of the model families in transformers.

    python models/transformers_zoo.py OUT

writes OUT/NAME.onnx with the legacy exporter at fixed shapes and OUT/NAME.open.onnx with batch and
sequence left open; for some families also OUT/NAME.dynamo.onnx and OUT/NAME.dynamo.open.onnx. Of
families that the legacy exporter cannot write there is only the dynamo exporter's file. Models come
from configurations, so nothing is downloaded; these are in ``tiny_transformers/``, by theme. Needs
torch, transformers and, for some image processors, torchvision.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
import torchvision_operators  # noqa: F401 - before transformers, which imports torchvision
from export_jobs import Job, Subject, run_all, summarise
from export_options import export_options
from stirred_weights import calm, stir
from tiny_transformers import (
    classifiers,
    decoders,
    dense,
    encoders,
    joint,
    sound,
    states_and_experts,
    translators,
)
from tiny_transformers.feeds import BATCH, OPEN_AXES, PAST, tokens
from tiny_transformers.past import PastAndLogits, past_of
from tiny_transformers.small import Small

MODELS: dict[str, Small] = {
    **encoders.MODELS,
    **decoders.MODELS,
    **states_and_experts.MODELS,
    **translators.MODELS,
    **sound.MODELS,
    **classifiers.MODELS,
    **dense.MODELS,
    **joint.MODELS,
}
PAST_MODELS: dict[str, Small] = {
    f"{name}_past": Small(
        MODELS[name].kind, MODELS[name].head, MODELS[name].settings, tokens, past=True
    )
    for name in ("gpt2", "llama", "qwen2", "qwen3", "gpt_neox", "phi3", "opt")
}
ALL_MODELS = {**MODELS, **PAST_MODELS}
OPEN = (
    *("bert", "roberta", "distilbert", "deberta_v2", "electra", "mpnet", "modernbert"),
    *("gpt2", "gpt_neox", "opt", "bloom", "llama", "mistral", "qwen3", "gemma2", "phi3", "falcon"),
    *("t5", "bart", "wav2vec2", "vit", "swin", "convnext", "clip", "mamba", "mixtral"),
    *PAST_MODELS,
)
"""Families that are also exported with open batch and sequence axes."""
DYNAMO = (
    *("bert", "deberta_v2", "gpt2", "llama", "qwen3", "gemma2", "phi", "falcon", "t5", "bart"),
    *("whisper", "wav2vec2", "vit", "swin", "clip", "detr", "segformer", "mamba", "mixtral"),
    *("convnextv2", "hiera", "gpt_oss", "mobilevit", "vits", "qwen2_moe", "olmoe", "encodec"),
    *("deepseek_v3", "qwen3_moe", "mamba2", "rwkv", "modernbert", "bloom", "sam"),
)
"""Families that are also exported with the dynamo exporter."""
NO_LEGACY = (
    *("whisper", "dinov2_registers", "mobilevitv2", "fnet"),  # an operator is missing in opset 17
    *("deformable_detr", "mask2former"),  # writes a GridSample that ONNX Runtime does not have
    *("time_series_patchtst", "mamba2", "cohere", "glm"),  # loses a rank or a shape
)
"""Families that the legacy exporter cannot write; the dynamo exporter does."""


STEEP = ("univnet",)
"""Models whose output, with weights as large as elsewhere, turns on the last digit of its input."""
EXPERTS_WRITTEN_OUT = "batched_mm"
"""How mixtures of experts compute: gathered weights, the form that both exporters know."""


def model_of(small: Small) -> Any:
    """Return the model, with attention written out, which every exporter can follow."""
    import transformers

    config = transformers.AutoConfig.for_model(small.kind, **small.settings)
    head = getattr(transformers, small.head)
    try:
        return head._from_config(
            config, attn_implementation="eager", experts_implementation=EXPERTS_WRITTEN_OUT
        )
    except ValueError:
        return head(config)


def build(job: Job) -> Subject:
    """Return a model with stirred weights and its inputs."""
    small = ALL_MODELS[job.name]
    generator = torch.Generator().manual_seed(job.seed)
    model = model_of(small)
    stir(model, generator)
    if job.name in STEEP:
        calm(model)
    inputs = small.feed(generator)
    if not small.past:
        return Subject(
            model,
            inputs,
            OPEN_AXES,
            small.outputs,
            {"use_cache": False} if small.cached else {},
        )
    past = past_of(model, generator)
    kept = torch.ones(BATCH, PAST, dtype=torch.int64)
    mask = torch.cat([kept, inputs["attention_mask"]], dim=1)
    return Subject(
        PastAndLogits(model),
        {"input_ids": inputs["input_ids"], "attention_mask": mask, **past},
        {
            "input_ids": {0: "batch", 1: "sequence"},
            "attention_mask": {0: "batch", 1: "total"},
            **{name: {0: "batch", 2: "past"} for name in past},
        },
        positional=True,
    )


def jobs(names: tuple[str, ...], out: Path, seed: int) -> Iterator[Job]:
    """Yield every family's plain export first, then the variants of some."""
    for name in names:
        if name not in NO_LEGACY:
            yield Job(name, "legacy", False, out / f"{name}.onnx", seed)
    for name in names:
        if name in OPEN:
            yield Job(name, "legacy", True, out / f"{name}.open.onnx", seed)
    for name in names:
        if name in DYNAMO or name in NO_LEGACY:
            yield Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed)
    for name in names:
        if name in DYNAMO and name in OPEN:
            yield Job(name, "dynamo", True, out / f"{name}.dynamo.open.onnx", seed)


@click.command()
@export_options(ALL_MODELS)
def main(out: Path, names: tuple[str, ...], timeout: float, again: bool, seed: int) -> None:
    """Export small transformers models into OUT."""
    warnings.simplefilter("ignore")
    chosen = names or tuple(ALL_MODELS)
    summarise(run_all(jobs(chosen, out, seed), build, timeout, again))


if __name__ == "__main__":
    main()
