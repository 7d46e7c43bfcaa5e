"""Export small PaddlePaddle models with paddle2onnx.

    python models/paddle_zoo.py OUT --model residual_cnn

writes OUT/residual_cnn.onnx. Needs click and, on Python 3.11, the requirements below. Weights
are drawn from a fixed seed, BatchNorm statistics too; nothing is downloaded.
"""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from model_files import Exported, zoo_command

os.environ["POLYGRAPHY_AUTOINSTALL_DEPS"] = "0"  # constant folding must not install packages

import paddle
from paddle import nn
from paddle.nn import functional
from paddle.static import InputSpec

REQUIREMENTS = (
    "paddlepaddle==3.3.1",
    "paddle2onnx==2.1.0",
    "onnx==1.17.0",
    "onnx-graphsurgeon==0.6.1",
    "onnxruntime==1.31.1",
    "sympy==1.14.0",
)
OPSET = 17
STEPS, WIDTH = 12, 32
WORDS = 60
CLASSES = 7
IMAGE = (3, 32, 32)
SERIES = (STEPS, WIDTH)

Tensor = Any


def conv_bn(inputs: int, outputs: int, size: int = 3, act: Any = nn.ReLU, **options: Any) -> Any:
    """Return Conv, BatchNorm and an activation; odd kernels keep the size."""
    parts = [
        nn.Conv2D(inputs, outputs, size, padding=size // 2, bias_attr=False, **options),
        nn.BatchNorm2D(outputs),
    ]
    return nn.Sequential(*parts, *([act()] if act else []))


def image_head(width: int) -> nn.Layer:
    """Return global pooling and a projection to classes."""
    return nn.Sequential(nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(width, CLASSES))


class Residual(nn.Layer):
    """Two convolutions and a shortcut, projected where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Take widths and stride."""
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, outputs, stride=stride), conv_bn(outputs, outputs, act=None)
        )
        plain = stride == 1 and inputs == outputs
        self.short = (
            nn.Identity() if plain else conv_bn(inputs, outputs, 1, act=None, stride=stride)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum behind ReLU."""
        return functional.relu(self.body(x) + self.short(x))


def residual_cnn() -> nn.Layer:
    """Three residual blocks."""
    return nn.Sequential(
        conv_bn(3, 24), nn.MaxPool2D(3, 2, 1), Residual(24, 24, 1), Residual(24, 48, 2),
        Residual(48, 48, 1), image_head(48),
    )  # fmt: skip


def depthwise_separable() -> nn.Layer:
    """MobileNet-like, ReLU6."""
    blocks: list[nn.Layer] = [conv_bn(3, 16, stride=2, act=nn.ReLU6)]
    for inputs, outputs in ((16, 32), (32, 64), (64, 64)):
        blocks += [
            conv_bn(inputs, inputs, groups=inputs, act=nn.ReLU6),
            conv_bn(inputs, outputs, 1, act=nn.Hardswish),
        ]
    return nn.Sequential(*blocks, image_head(64))


class Inverted(nn.Layer):
    """Expansion, depthwise, squeeze-excite, projection and shortcut."""

    def __init__(self, width: int, expanded: int) -> None:
        """Take both widths."""
        super().__init__()
        self.up = nn.Sequential(
            conv_bn(width, expanded, 1, nn.Swish),
            conv_bn(expanded, expanded, 5, nn.Swish, groups=expanded),
        )
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2D(1), nn.Conv2D(expanded, 12, 1), nn.ReLU(),
            nn.Conv2D(12, expanded, 1), nn.Hardsigmoid(),
        )  # fmt: skip
        self.down = conv_bn(expanded, width, 1, None)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's sum."""
        y = self.up(x)
        return x + self.down(y * self.excite(y))


def inverted_residual_excite() -> nn.Layer:
    """MobileNetV3-like."""
    return nn.Sequential(
        conv_bn(3, 16, stride=2), Inverted(16, 64), Inverted(16, 64), image_head(16)
    )


class UNet(nn.Layer):
    """Down with max-pooling, up with transposed convolution and interpolation."""

    def __init__(self) -> None:
        """Draw weights."""
        super().__init__()
        self.a, self.b, self.c = conv_bn(3, 12), conv_bn(12, 24), conv_bn(24, 48)
        self.up = nn.Conv2DTranspose(48, 24, 2, 2)
        self.d, self.e = conv_bn(48, 24), conv_bn(36, 12)
        self.out = nn.Conv2D(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return an image."""
        a = self.a(x)
        b = self.b(functional.max_pool2d(a, 2))
        c = self.up(self.c(functional.max_pool2d(b, 2)))
        d = self.d(paddle.concat([c, b], axis=1))
        d = functional.interpolate(d, size=a.shape[2:], mode="bilinear")
        return self.out(self.e(paddle.concat([d, a], axis=1)))


def flatten_cnn() -> nn.Layer:
    """LeNet: Flatten of several positions in front of Linear."""
    return nn.Sequential(
        nn.Conv2D(3, 16, 5), nn.ReLU(), nn.MaxPool2D(2), nn.Conv2D(16, 32, 5), nn.ReLU(),
        nn.AvgPool2D(2), nn.Flatten(), nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, CLASSES),
    )  # fmt: skip


def shuffled(x: Tensor, groups: int) -> Tensor:
    """Return channels in the order that mixes groups; paddle2onnx lacks ``channel_shuffle``."""
    _, channels, height, width = x.shape
    x = x.reshape([-1, groups, channels // groups, height, width]).transpose([0, 2, 1, 3, 4])
    return x.reshape([-1, channels, height, width])


class Shuffle(nn.Layer):
    """Grouped convolutions with a channel shuffle between them, and a split."""

    def __init__(self) -> None:
        """Draw weights."""
        super().__init__()
        self.stem = conv_bn(3, 32)
        self.one, self.two = conv_bn(16, 32, groups=4), conv_bn(32, 16, groups=4)
        self.head = image_head(32)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        kept, x = paddle.split(self.stem(x), 2, axis=1)
        x = self.two(shuffled(self.one(x), 4))
        return self.head(shuffled(paddle.concat([kept, x], axis=1), 2))


def activations_cnn() -> nn.Layer:
    """PReLU, ELU, GELU and PixelShuffle; paddle2onnx exports GroupNorm and InstanceNorm wrong."""
    return nn.Sequential(
        nn.Conv2D(3, 24, 3, padding=1), nn.PReLU(24),
        nn.Conv2D(24, 32, 3, padding=1, dilation=1), nn.ELU(),
        nn.Conv2D(32, 32, 3, padding=1), nn.PixelShuffle(2), nn.Conv2D(8, 16, 3), nn.GELU(),
        image_head(16),
    )  # fmt: skip


def mlp() -> nn.Layer:
    """Linear, BatchNorm, LayerNorm, dropout."""
    return nn.Sequential(
        nn.Linear(WIDTH, 64), nn.BatchNorm1D(64), nn.SELU(), nn.Dropout(0.5), nn.Linear(64, 64),
        nn.LayerNorm(64), nn.Tanh(), nn.Linear(64, CLASSES),
    )  # fmt: skip


class Recurrent(nn.Layer):
    """Stacked recurrent layers and a head on the last step, or on all of them."""

    def __init__(self, kind: Any, both: bool, last: bool) -> None:
        """Take the kind of layer, both directions or one, and what the head sees."""
        super().__init__()
        direction = "bidirect" if both else "forward"
        self.layers = kind(WIDTH, 24, num_layers=2, direction=direction)
        self.head = nn.Linear(48 if both else 24, CLASSES)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        y, _ = self.layers(x)
        return self.head(y[:, -1] if self.last else y.mean(axis=1))


class TextTransformer(nn.Layer):
    """Token and position tables, Paddle's own encoder, mean pooling."""

    def __init__(self, before: bool) -> None:
        """Take whether norms come before or behind the layers."""
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(STEPS, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 96, dropout=0.0, activation="gelu", normalize_before=before
        )
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, words: Tensor) -> Tensor:
        """Return logits."""
        x = self.words(words) + self.places(paddle.arange(STEPS))
        return self.head(self.encoder(x).mean(axis=1))


class VisionTransformer(nn.Layer):
    """Patches, a class token, one projection for q, k and v."""

    def __init__(self) -> None:
        """Draw weights."""
        super().__init__()
        self.patches = nn.Conv2D(3, 48, 4, 4)
        normal = nn.initializer.Normal(0.0, 0.5)
        self.token = self.create_parameter([1, 1, 48], default_initializer=normal)
        self.places = self.create_parameter([1, 65, 48], default_initializer=normal)
        self.one, self.two = nn.LayerNorm(48), nn.LayerNorm(48)
        self.qkv, self.out = nn.Linear(48, 144), nn.Linear(48, 48)
        self.feed = nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 48))
        self.head = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.patches(x).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.token.expand([x.shape[0], -1, -1]), x], axis=1) + self.places
        qkv = self.qkv(self.one(x)).reshape([-1, 65, 3, 4, 12]).transpose([2, 0, 3, 1, 4])
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = functional.softmax(paddle.matmul(q, k, transpose_y=True) / 3.5, axis=-1)
        mixed = paddle.matmul(weights, v).transpose([0, 2, 1, 3]).reshape([-1, 65, 48])
        x = x + self.out(mixed)
        return self.head((x + self.feed(self.two(x)))[:, 0])


class EmbeddingClassifier(nn.Layer):
    """Mean of embeddings and two projections."""

    def __init__(self) -> None:
        """Draw weights."""
        super().__init__()
        self.words = nn.Embedding(WORDS, 48)
        self.dense = nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, CLASSES))

    def forward(self, words: Tensor) -> Tensor:
        """Return logits."""
        return self.dense(self.words(words).mean(axis=1))


def conv1d() -> nn.Layer:
    """1-D convolutions, dilated, with BatchNorm."""
    return nn.Sequential(
        nn.Conv1D(STEPS, 32, 3, padding=1), nn.ReLU(), nn.Conv1D(32, 48, 3, dilation=2),
        nn.BatchNorm1D(48), nn.ReLU(), nn.MaxPool1D(2), nn.Conv1D(48, 32, 1), nn.Swish(),
        nn.AdaptiveAvgPool1D(1), nn.Flatten(), nn.Linear(32, CLASSES),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], nn.Layer], tuple[int, ...]]] = {
    "residual_cnn": (residual_cnn, IMAGE),
    "depthwise_separable": (depthwise_separable, IMAGE),
    "inverted_residual_excite": (inverted_residual_excite, IMAGE),
    "unet": (UNet, IMAGE),
    "flatten_cnn": (flatten_cnn, IMAGE),
    "shuffle": (Shuffle, IMAGE),
    "activations_cnn": (activations_cnn, IMAGE),
    "mlp": (mlp, (WIDTH,)),
    "lstm": (partial(Recurrent, nn.LSTM, False, True), SERIES),
    "bidirectional_lstm": (partial(Recurrent, nn.LSTM, True, False), SERIES),
    "gru": (partial(Recurrent, nn.GRU, False, True), SERIES),
    "bidirectional_gru": (partial(Recurrent, nn.GRU, True, False), SERIES),
    "transformer": (partial(TextTransformer, True), (STEPS,)),
    "transformer_post_norm": (partial(TextTransformer, False), (STEPS,)),
    "vision_transformer": (VisionTransformer, IMAGE),
    "embedding_classifier": (EmbeddingClassifier, (STEPS,)),
    "conv1d": (conv1d, SERIES),
}
"""By name a maker and the shape of one sample; ``(STEPS,)`` are word numbers."""


def enliven(model: nn.Layer) -> None:
    """Move biases, scales and BatchNorm statistics off their constant starting values."""
    rng = np.random.default_rng(0)
    for tensor in model.state_dict().values():
        value = tensor.numpy()
        if value.dtype.kind == "f" and value.size > 1 and np.ptp(value) == 0:
            tensor.set_value((value + rng.uniform(0.05, 0.4, value.shape)).astype(value.dtype))


def convert(name: str) -> Exported:
    """Build one model, convert it with a free batch axis and compute its output."""
    make, shape = MODELS[name]
    paddle.seed(0)
    model = make()
    enliven(model)
    model.eval()
    rng = np.random.default_rng(1)
    words = shape == (STEPS,)
    given = rng.integers(0, WORDS, (3, *shape)) if words else rng.standard_normal((3, *shape))
    given = given.astype("i8" if words else "f4")
    expected = model(paddle.to_tensor(given)).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        spec = InputSpec([None, *shape], str(given.dtype), "x")
        paddle.onnx.export(model, str(path), input_spec=[spec], opset_version=OPSET)
        proto = onnx.load(path.with_suffix(".onnx"))
    return Exported(proto, {proto.graph.input[0].name: given}, [expected])


BUILDERS: dict[str, Callable[[], Exported]] = {name: partial(convert, name) for name in MODELS}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
