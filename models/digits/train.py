"""Train the digits network and write digits.onnx and digits_test.npz.

    python models/digits/train.py

Needs torch, onnx, onnxruntime, scikit-learn and click; about half a minute on one core. The seed
is fixed, yet another version of torch may round differently and give other weights.
"""

import warnings
from collections import OrderedDict
from pathlib import Path

import click
import numpy as np
import torch
from evaluate import evaluate, read_images
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

SEED = 0
HELD_OUT = 500
EPOCHS = 60
BATCH = 64
OPSET = 17
FULL_INK = 16
"""Largest pixel value of scikit-learn's digits."""


def conv(inputs: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the image size (at stride 1), and its BatchNorm.

    The norm's bias starts random: from one start, the biases of a residual body and of its
    projection would stay equal for ever, and the exporter would merge them.
    """
    norm = nn.BatchNorm2d(outputs)
    nn.init.uniform_(norm.bias, -0.1, 0.1)
    padding = size // 2
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False),
            norm=norm,
        )
    )


class Residual(nn.Module):
    """``relu(body(x) + shortcut(x))``; the shortcut is a projection where shapes differ."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        """Take the two paths; without a shortcut, ``x`` itself is added."""
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of both paths, rectified."""
        return functional.relu(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))


class Branches(nn.Module):
    """Two convolutions of different size side by side, joined on the channel axis."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Give each branch ``outputs / 2`` channels."""
        super().__init__()
        self.narrow = conv(inputs, outputs // 2, 1)
        self.wide = conv(inputs, outputs // 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the branches' channels, those of the 1x1 convolution first."""
        return functional.relu(torch.cat([self.narrow(x), self.wide(x)], dim=1))


def network() -> nn.Sequential:
    """Return the untrained network: images ``(n, 1, 8, 8)`` to logits ``(n, 10)``."""
    return nn.Sequential(
        OrderedDict(
            stem=conv(1, 32, 3),
            relu=nn.ReLU(),
            identity=Residual(nn.Sequential(conv(32, 32, 3), nn.ReLU(), conv(32, 32, 3))),
            projection=Residual(
                nn.Sequential(conv(32, 64, 3, stride=2), nn.ReLU(), conv(64, 64, 3)),
                shortcut=conv(32, 64, 1, stride=2),
            ),
            grouped=Residual(
                nn.Sequential(
                    conv(64, 64, 1),
                    nn.ReLU(),
                    conv(64, 64, 3, groups=4),
                    nn.ReLU(),
                    conv(64, 64, 1),
                )
            ),
            depthwise=Residual(
                nn.Sequential(conv(64, 64, 3, groups=64), nn.ReLU(), conv(64, 64, 1))
            ),
            branches=Branches(64, 64),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            head=nn.Linear(64, 10),
        )
    )


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return (images, labels) to train on and held out; pixels scaled to -1..1."""
    data = load_digits()
    images = (data.images / (FULL_INK / 2) - 1).astype(np.float32)[:, None]
    x, x_test, y, y_test = train_test_split(
        images, data.target, test_size=HELD_OUT, random_state=SEED, stratify=data.target
    )
    train = torch.from_numpy(x), torch.from_numpy(y)
    return train, (torch.from_numpy(x_test), torch.from_numpy(y_test))


def shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return each image moved by up to one pixel along each axis; the rim is blank."""
    size = images.shape[-1]
    padded = functional.pad(images, (1, 1, 1, 1), value=-1)
    offsets = torch.randint(0, 3, (len(images), 2), generator=generator)
    return torch.stack(
        [
            image[:, row : row + size, column : column + size]
            for image, (row, column) in zip(padded, offsets.tolist(), strict=True)
        ]
    )


def train(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Fit the model in place and leave it in eval mode."""
    generator = torch.Generator().manual_seed(SEED)
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator)
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = functional.cross_entropy(
                model(shifted(images[batch], generator)), labels[batch], label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def export(model: nn.Module, example: Tensor, path: Path) -> None:
    """Write the model with BatchNormalization as nodes and a free batch axis.

    The exporter folds BatchNormalization in its evaluation mode; PRESERVE keeps the nodes, and
    the model itself is already in eval mode.
    """
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    torch.onnx.export(
        model,
        (example,),
        path,
        dynamo=False,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )


@click.command()
@click.option(
    "--out",
    default=Path(__file__).parent,
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder for both files. Default: beside this script.",
)
def main(out: Path) -> None:
    """Train the digits network and write digits.onnx and digits_test.npz."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    (x, y), (x_test, y_test) = digits()
    model = network()
    train(model, x, y)
    images, path = out / "digits_test.npz", out / "digits.onnx"
    np.savez_compressed(images, x=x_test.numpy(), y=y_test.numpy())
    export(model, x_test[:2], path)
    click.echo(evaluate(path, *read_images(images)))


if __name__ == "__main__":
    main()
