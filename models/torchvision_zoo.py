"""Export random-weight torchvision models with PyTorch's exporters.

    python models/torchvision_zoo.py OUT --model resnet18 --exporter legacy
    python models/torchvision_zoo.py OUT --more

The first form writes OUT/legacy/resnet18.onnx; without ``--model`` it takes 15 classifiers and
both exporters. ``--more`` writes OUT/NAME.onnx for one member of every other family:
classification, segmentation, detection, optical flow and video, with dynamo where the legacy
exporter fails. Weights are drawn from a fixed seed; nothing is downloaded.
"""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import click
import torch
import torchvision_operators  # noqa: F401 - before torchvision
from export_jobs import Exporter, Job, Subject, run_all, summarise
from export_options import export_options
from lively_weights import ActivationRange, activation_range, enliven, image_noise
from stirred_weights import stir
from torch import Tensor, nn

MODELS = (
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "densenet121",
    "resnext50_32x4d",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "googlenet",
    "regnet_y_400mf",
    "squeezenet1_1",
    "vgg11",
    "vgg11_bn",
    "vit_b_16",
    "swin_t",
    "convnext_tiny",
)
CLASSIFIERS = (
    "alexnet",
    "mnasnet0_5",
    "inception_v3",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "efficientnet_v2_s",
    "maxvit_t",
    "regnet_x_400mf",
    "wide_resnet50_2",
    "vgg16_bn",
    "swin_v2_t",
    "mobilenet_v3_small",
    "squeezenet1_0",
)
SEGMENTATION = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
)
DETECTION = (
    "ssdlite320_mobilenet_v3_large",
    "ssd300_vgg16",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "retinanet_resnet50_fpn",
    "fcos_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
)
FLOW = ("raft_small",)
VIDEO = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "mvit_v1_b", "mvit_v2_s")
MORE = (*CLASSIFIERS, *SEGMENTATION, *DETECTION, *FLOW, *VIDEO)

IMAGE_SIZE, SMALL = 224, 64

OPTIONS: dict[str, dict[str, object]] = {
    "googlenet": {"aux_logits": False, "transform_input": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "transform_input": False, "init_weights": False},
    "mvit_v1_b": {"spatial_size": (SMALL, SMALL)},  # of their position tables
    "mvit_v2_s": {"spatial_size": (SMALL, SMALL)},
}
DETECTOR_OPTIONS: dict[str, object] = {
    "weights_backbone": None,
    "score_thresh": 0.0,
    "detections_per_img": 10,
    "num_classes": 11,
}
"""Detections of random weights score low; without a threshold there are some to compare."""
REGION_OPTIONS: dict[str, object] = {
    "weights_backbone": None,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 10,
    "rpn_pre_nms_top_n_test": 50,
    "rpn_post_nms_top_n_test": 20,
}
BOX_SPREAD = 0.2
"""Largest standard deviation of the offsets of boxes, in units of their size and its logarithm."""
SIZES = {"alexnet": 224, "vgg16_bn": 224, "inception_v3": 128, "maxvit_t": 224, "swin_v2_t": 256}
DETECTION_SIZE = 160
FRAMES = 16
TRAINED_SPREAD = 0.5
"""Log-normal spread of lane norms under --pretend-trained; a wide guess, not a measurement."""


class DeadWeightsError(ValueError):
    """The drawn weights leave a layer dead or let activations explode."""

    def __init__(self, seen: ActivationRange) -> None:
        """Give the range that was found."""
        super().__init__(f"activations {seen}: draw other weights with --seed")


class Detector(nn.Module):
    """A detector that takes a tensor, not a list of images."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return boxes, scores, labels and what else the model finds in the first image."""
        return [*self.model([image[0]])[0].values()]


class LastFlow(nn.Module):
    """An optical flow model that answers with its last estimate alone."""

    def __init__(self, model: nn.Module) -> None:
        """Keep the model."""
        super().__init__()
        self.model = model

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the flow ``(B, 2, H, W)``."""
        last: Tensor = self.model(first, second, num_flow_updates=2)[-1]
        return last


def build(job: Job) -> Subject:
    """Return the model of a job.

    Raises:
        DeadWeightsError: if the weights of one of ``MODELS`` turn out not to be lively.
    """
    from torchvision.models import get_model

    generator = torch.Generator().manual_seed(job.seed)
    model = get_model(job.name, weights=None, **options(job.name))
    if job.name not in MORE:
        enliven(model, image_noise(8, IMAGE_SIZE, generator), generator, job.spread)
        seen = activation_range(model, image_noise(2, IMAGE_SIZE, generator))
        if not seen.sane:
            raise DeadWeightsError(seen)
        image = image_noise(1, IMAGE_SIZE, torch.Generator().manual_seed(job.seed + 1))
        return Subject(model, {"input": image}, positional=True)
    stir(model, generator, job.spread)
    module, given = wrapped(job.name, model), inputs(job.name, generator)
    if "rcnn" in job.name:
        calm_boxes(module, given["image"])
    return Subject(module, given, positional=True)


def calm_boxes(model: nn.Module, image: Tensor) -> None:
    """Scale the weights that give offsets of boxes, so that boxes stay in an image.

    Random weights push all of them out. Then tracing sees none, and writes down sizes that hold for
    no boxes only.
    """

    def scale(layer: nn.Module, _: object, offsets: Tensor) -> Tensor:
        factor = BOX_SPREAD / float(offsets.std().nan_to_num(1.0).clamp_min(BOX_SPREAD))
        layer.weight.data *= factor
        layer.bias.data *= factor
        return offsets * factor

    layers = [layer for name, layer in model.named_modules() if name.endswith("bbox_pred")]
    hooks = [layer.register_forward_hook(scale) for layer in layers]
    with torch.no_grad():
        model.eval()(image)
    for hook in hooks:
        hook.remove()


def options(name: str) -> dict[str, object]:
    """Return what a model's constructor needs so as to download nothing."""
    if name in SEGMENTATION:
        return {"weights_backbone": None, "num_classes": 21}
    if "rcnn" in name:
        return REGION_OPTIONS
    if name in DETECTION:
        return DETECTOR_OPTIONS
    return OPTIONS.get(name, {})


def wrapped(name: str, model: nn.Module) -> nn.Module:
    """Return a module of tensors in and tensors out."""
    if name in FLOW:
        return LastFlow(model)
    if name not in DETECTION:
        return model
    size = detection_size(name)
    transform = model.transform
    transform.min_size, transform.max_size, transform.fixed_size = (size,), size, (size, size)
    return Detector(model)


def detection_size(name: str) -> int:
    """Return the image size of a detector; the first SSD shrinks its maps to one pixel at 300."""
    return 300 if name.startswith("ssd300") else DETECTION_SIZE


def inputs(name: str, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the smallest inputs that the model accepts."""
    if name in FLOW:
        return {key: image_noise(1, 128, generator) for key in ("first", "second")}
    if name in DETECTION:
        return {"image": image_noise(1, detection_size(name), generator)}
    if name in VIDEO:
        size = IMAGE_SIZE if name.startswith("s3d") else SMALL
        frames = image_noise(FRAMES, size, generator)
        return {"video": frames.transpose(0, 1)[None].contiguous()}
    return {"input": image_noise(1, SIZES.get(name, SMALL), generator)}


def jobs(
    names: tuple[str, ...], exporters: tuple[Exporter, ...], out: Path, seed: int, spread: float
) -> Iterator[Job]:
    """Yield one job per name and exporter."""
    for name in names:
        for how in exporters:
            yield Job(name, how, False, out / how / f"{name}.onnx", seed, spread)


@click.command()
@export_options()
@click.option("--more", is_flag=True, help="One member of every other family instead.")
@click.option("--exporter", type=click.Choice(["legacy", "dynamo", "both"]), default="both")
@click.option("--pretend-trained", is_flag=True, help="Give lanes unequal norms, as training does.")
def main(
    out: Path,
    names: tuple[str, ...],
    more: bool,
    exporter: Literal["legacy", "dynamo", "both"],
    pretend_trained: bool,
    timeout: float,
    again: bool,
    seed: int,
) -> None:
    """Export torchvision models into OUT, one file each."""
    warnings.simplefilter("ignore")
    spread = TRAINED_SPREAD if pretend_trained else 0.0
    if more:
        chosen = names or MORE
        first = [Job(name, "legacy", False, out / f"{name}.onnx", seed, spread) for name in chosen]
        outcomes = run_all(first, build, timeout, again)
        failed = {Path(outcome.path).stem for outcome in outcomes if outcome.failure}
        instead = [
            Job(name, "dynamo", False, out / f"{name}.dynamo.onnx", seed, spread)
            for name in chosen
            if name in failed
        ]
        summarise([*outcomes, *run_all(instead, build, timeout, again)])
        return
    exporters: tuple[Exporter, ...] = ("legacy", "dynamo") if exporter == "both" else (exporter,)
    summarise(run_all(jobs(names or MODELS, exporters, out, seed, spread), build, timeout, again))


if __name__ == "__main__":
    main()
