"""Export small Keras models with Keras' own ONNX export and with tf2onnx.

    python models/keras_zoo.py OUT --model residual_cnn

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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import Model, layers

REQUIREMENTS = (
    "tensorflow-cpu==2.21.0",
    "keras==3.15.1",
    "tf2onnx==1.17.0",
    "onnx==1.23.2",
    "onnxruntime==1.31.1",
)
OPSET = 17
IMAGE = (32, 32, 3)
STEPS, WIDTH = 12, 32
WORDS = 60
CLASSES = 7

Tensor = Any


def tanh_gelu(x: Tensor) -> Tensor:
    """Return GELU by tanh: tf2onnx has no rule for the Erfc of the exact one."""
    return keras.activations.gelu(x, approximate=True)


class Places(layers.Layer):
    """Adds a table of positions."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Draw the table ``(T, C)``."""
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal")

    def call(self, x: Tensor) -> Tensor:
        """Return ``x`` with the table added."""
        return x + self.table


def conv_bn(x: Tensor, width: int, size: int = 3, stride: int = 1, act: str = "relu") -> Tensor:
    """Return activation(BatchNorm(Conv))."""
    x = layers.Conv2D(width, size, stride, padding="same", use_bias=False)(x)
    return layers.Activation(act)(layers.BatchNormalization()(x))


def classify(x: Tensor, classes: int = CLASSES) -> Tensor:
    """Return class probabilities from an image of features."""
    return layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def residual_cnn() -> Model:
    """Two stages of residual blocks, the second with a projection."""
    x = image = layers.Input(IMAGE)
    x = conv_bn(x, 24)
    for width, stride in ((24, 1), (48, 2), (48, 1)):
        short = x if stride == 1 else conv_bn(x, width, 1, stride, "linear")
        x = conv_bn(conv_bn(x, width, 3, stride), width, 3, 1, "linear")
        x = layers.ReLU()(layers.Add()([x, short]))
    return Model(image, classify(x))


def depthwise_separable() -> Model:
    """MobileNet: depthwise and pointwise convolutions, ReLU6."""
    x = image = layers.Input(IMAGE)
    x = conv_bn(x, 16, 3, 2)
    for width, stride in ((32, 1), (64, 2), (64, 1)):
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = conv_bn(x, width, 1)
    x = layers.SeparableConv2D(48, 3, padding="same", activation="relu")(x)
    return Model(image, classify(x))


def inverted_residual_excite() -> Model:
    """EfficientNet blocks: expansion, depthwise, squeeze-excite, swish, residual."""
    x = image = layers.Input(IMAGE)
    x = conv_bn(x, 16, 3, 2, "swish")
    for _ in range(2):
        short, width = x, 64
        x = conv_bn(x, width, 1, 1, "swish")
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.Activation("swish")(layers.BatchNormalization()(x))
        s = layers.Reshape((1, 1, width))(layers.GlobalAveragePooling2D()(x))
        s = layers.Conv2D(8, 1, activation="swish")(s)
        x = layers.Multiply()([x, layers.Conv2D(width, 1, activation="sigmoid")(s)])
        x = layers.Add()([conv_bn(x, 16, 1, 1, "linear"), short])
    return Model(image, classify(x))


def dense_excite() -> Model:
    """Squeeze-excite with Dense layers, without keepdims."""
    x = image = layers.Input(IMAGE)
    x = conv_bn(x, 32)
    s = layers.Dense(8, activation="relu")(layers.GlobalAveragePooling2D()(x))
    s = layers.Dense(32, activation="sigmoid")(s)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 32))(s)])
    return Model(image, classify(conv_bn(x, 48, 3, 2)))


def unet() -> Model:
    """Down and up with Concatenate, transposed and resized."""
    x = image = layers.Input(IMAGE)
    skips = []
    for width in (12, 24):
        x = conv_bn(conv_bn(x, width), width)
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = conv_bn(x, 48)
    x = layers.Conv2DTranspose(24, 2, 2, padding="same")(x)
    x = conv_bn(layers.Concatenate()([x, skips[1]]), 24)
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = conv_bn(layers.Concatenate()([x, skips[0]]), 12)
    return Model(image, layers.Conv2D(3, 1, activation="sigmoid")(x))


def flatten_cnn() -> Model:
    """LeNet: channels-last Flatten in front of Dense."""
    x = image = layers.Input(IMAGE)
    for width in (16, 32):
        x = layers.Conv2D(width, 5, activation="relu")(x)
        x = layers.AveragePooling2D(2)(x)
    x = layers.Dense(64, activation="relu")(layers.Flatten()(x))
    return Model(image, layers.Dense(CLASSES)(x))


def inception() -> Model:
    """Branches of several kernel sizes, joined; dilated and separable convolutions."""
    x = image = layers.Input(IMAGE)
    x = conv_bn(x, 24, 3, 2)
    pooled = conv_bn(layers.MaxPooling2D(3, 1, "same")(x), 8, 1)
    dilated = layers.Conv2D(16, 3, padding="same", dilation_rate=2, activation="elu")(x)
    wide = layers.SeparableConv2D(24, 5, padding="same", activation=tanh_gelu)(x)
    x = layers.Concatenate()([conv_bn(x, 16, 1), pooled, dilated, wide])
    return Model(image, classify(conv_bn(x, 32)))


def padded_cropped() -> Model:
    """Explicit padding, cropping, PReLU per channel, LayerNorm and GroupNorm on channels."""
    x = image = layers.Input(IMAGE)
    x = layers.Conv2D(24, 3)(layers.ZeroPadding2D(2)(x))
    x = layers.PReLU(shared_axes=[1, 2])(layers.LayerNormalization()(x))
    x = layers.Conv2D(32, 3)(layers.Cropping2D(1)(x))
    x = layers.LeakyReLU()(layers.GroupNormalization(4)(x))
    return Model(image, classify(x))


def mlp() -> Model:
    """Dense layers with BatchNorm, SELU, tanh and a skip connection."""
    x = features = layers.Input((WIDTH,))
    x = layers.Dense(64, activation="selu")(x)
    y = layers.BatchNormalization()(layers.Dense(64, activation="tanh")(x))
    x = layers.Dense(48, activation="mish")(layers.Add()([x, y]))
    return Model(features, layers.Dense(CLASSES)(x))


def two_inputs() -> Model:
    """A wide and a deep input, two outputs."""
    image, features = layers.Input(IMAGE), layers.Input((WIDTH,))
    x = layers.GlobalMaxPooling2D()(conv_bn(conv_bn(image, 24), 32))
    y = layers.Dense(32, activation="relu")(features)
    gated = layers.Multiply()([layers.Dense(32, activation="sigmoid")(y), x])
    both = layers.Dense(48, activation="relu")(layers.Concatenate()([gated, y]))
    return Model([image, features], [layers.Dense(CLASSES)(both), layers.Dense(1)(y)])


def lstm() -> Model:
    """Two stacked LSTMs."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.LSTM(32)(layers.LSTM(40, return_sequences=True)(x))
    return Model(series, layers.Dense(CLASSES)(x))


def bidirectional_lstm() -> Model:
    """Bidirectional LSTMs, stacked."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.Bidirectional(layers.LSTM(24, return_sequences=True))(x)
    x = layers.Bidirectional(layers.LSTM(16))(x)
    return Model(series, layers.Dense(CLASSES)(x))


def gru() -> Model:
    """Two stacked GRUs."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.GRU(32)(layers.GRU(40, return_sequences=True)(x))
    return Model(series, layers.Dense(CLASSES)(x))


def bidirectional_gru() -> Model:
    """A bidirectional GRU, its directions added, and a time-distributed head."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.Bidirectional(layers.GRU(24, return_sequences=True, reset_after=False))(x)
    x = layers.Bidirectional(layers.GRU(16, return_sequences=True), merge_mode="sum")(x)
    return Model(series, layers.TimeDistributed(layers.Dense(CLASSES))(x))


def simple_rnn() -> Model:
    """An unrolled SimpleRNN."""
    x = series = layers.Input((STEPS, WIDTH))
    return Model(series, layers.Dense(CLASSES)(layers.SimpleRNN(24, unroll=True)(x)))


def encoder_block(x: Tensor, heads: int, width: int) -> Tensor:
    """Return one transformer block with LayerNorm in front."""
    size = x.shape[-1]
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(heads, width)(y, y)])
    y = layers.Dense(4 * size, activation=tanh_gelu)(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(size)(y)])


def transformer() -> Model:
    """A text transformer: token and position tables, two blocks, mean pooling."""
    words = layers.Input((STEPS,), dtype="int32")
    x = layers.Embedding(WORDS, WIDTH)(words)
    x = Places()(x)
    for _ in range(2):
        x = encoder_block(x, 4, 8)
    x = layers.LayerNormalization()(x)
    return Model(words, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def vision_transformer() -> Model:
    """Patches by a strided convolution, grouped-query attention, RMSNorm."""
    x = image = layers.Input(IMAGE)
    x = layers.Reshape((64, 48))(layers.Conv2D(48, 4, 4)(x))
    for _ in range(2):
        y = layers.RMSNormalization()(x)
        x = layers.Add()([x, layers.GroupQueryAttention(12, 4, 2)(y, y)])
        y = layers.RMSNormalization()(x)
        gate, value = layers.Dense(96, activation="silu")(y), layers.Dense(96)(y)
        x = layers.Add()([x, layers.Dense(48)(layers.Multiply()([gate, value]))])
    return Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def embedding_classifier() -> Model:
    """Mean of embeddings and two Dense layers."""
    words = layers.Input((STEPS,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(WORDS, 48)(words))
    return Model(words, layers.Dense(CLASSES)(layers.Dense(32, activation="relu")(x)))


def conv1d() -> Model:
    """Causal and dilated 1-D convolutions with residuals."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.Conv1D(32, 3, padding="causal", activation="relu")(x)
    for rate in (1, 2):
        y = layers.Conv1D(32, 3, padding="causal", dilation_rate=rate, activation="relu")(x)
        x = layers.Add()([x, layers.BatchNormalization()(layers.Conv1D(32, 1)(y))])
    x = layers.SeparableConv1D(48, 3, activation="relu")(layers.MaxPooling1D()(x))
    return Model(series, layers.Dense(CLASSES)(layers.GlobalMaxPooling1D()(x)))


def conv3d() -> Model:
    """Two 3-D convolutions."""
    x = video = layers.Input((6, 12, 12, 3))
    x = layers.MaxPooling3D((1, 2, 2))(layers.Conv3D(16, 3, activation="relu")(x))
    x = layers.BatchNormalization()(layers.Conv3D(24, 3, padding="same", activation="relu")(x))
    return Model(video, layers.Dense(CLASSES)(layers.GlobalAveragePooling3D()(x)))


def conv_lstm() -> Model:
    """A convolutional LSTM."""
    x = video = layers.Input((4, 8, 8, 3))
    x = layers.ConvLSTM2D(12, 3, padding="same", unroll=True)(x)
    return Model(video, classify(x))


def attention_pooling() -> Model:
    """Luong and Bahdanau attention over a recurrent encoder."""
    x = series = layers.Input((STEPS, WIDTH))
    states = layers.GRU(24, return_sequences=True)(x)
    query = layers.Dense(24)(x)
    x = layers.Concatenate()([layers.Attention()([query, states]), query])
    y = layers.AdditiveAttention()([query, states])
    x = layers.GlobalAveragePooling1D()(layers.Concatenate()([x, y]))
    return Model(series, layers.Dense(CLASSES)(layers.Dense(32, activation="relu")(x)))


def einsum_dense() -> Model:
    """EinsumDense with split heads, and weights of unit norm."""
    x = series = layers.Input((STEPS, WIDTH))
    x = layers.EinsumDense("abc,cde->abde", (None, 4, 12), bias_axes="de")(x)
    x = layers.EinsumDense("abde,def->abf", (None, 40), bias_axes="f", activation="relu")(x)
    x = layers.Dense(CLASSES)(layers.Dense(32, activation="relu")(x))
    return Model(series, x)


ARCHITECTURES: tuple[Callable[[], Model], ...] = (
    residual_cnn, depthwise_separable, inverted_residual_excite, dense_excite, unet, flatten_cnn,
    inception, padded_cropped, mlp, two_inputs, lstm, bidirectional_lstm, gru, bidirectional_gru,
    simple_rnn, transformer, vision_transformer, embedding_classifier, conv1d, conv3d, conv_lstm,
    attention_pooling, einsum_dense,
)  # fmt: skip


def enliven(model: Model) -> None:
    """Move biases, scales and BatchNorm statistics off their constant starting values."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = np.asarray(weight)
        if value.dtype.kind == "f" and np.ptp(value) == 0:
            weight.assign(value + rng.uniform(0.05, 0.4, value.shape))


def feeds(model: Model) -> list[Any]:
    """Return one random batch per input."""
    rng = np.random.default_rng(1)
    return [
        rng.integers(0, WORDS, (3, *entry.shape[1:])).astype("i4")
        if "int" in entry.dtype
        else rng.standard_normal((3, *entry.shape[1:])).astype("f4")
        for entry in model.inputs
    ]


def convert(make: Callable[[], Model], exporter: str) -> Exported:
    """Build one model and convert it with ``keras`` or with ``tf2onnx``, as a user would."""
    keras.utils.set_random_seed(0)
    model = make()
    enliven(model)
    given = feeds(model)
    expected = [np.asarray(y) for y in tf.nest.flatten(model(given, training=False))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if exporter == "keras":
            model.export(path, format="onnx", verbose=False)
        else:
            import tf2onnx

            signature = [
                tf.TensorSpec(x.shape, x.dtype, name=f"input_{k}")
                for k, x in enumerate(model.inputs)
            ]
            tf2onnx.convert.from_function(
                tf.function(lambda *x: model(list(x), training=False)),
                input_signature=signature,
                opset=OPSET,
                inputs_as_nchw=None,
                output_path=str(path),
            )
        proto = onnx.load(path)
    names = [entry.name for entry in proto.graph.input]
    return Exported(proto, dict(zip(names, given, strict=True)), expected)


BUILDERS: dict[str, Callable[[], Exported]] = {
    make.__name__: partial(convert, make, "keras") for make in ARCHITECTURES
} | {
    f"{make.__name__}_tf2onnx": partial(convert, make, "tf2onnx")
    for make in (residual_cnn, depthwise_separable, unet, lstm, bidirectional_gru, transformer)
}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
