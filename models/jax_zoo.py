"""Export small Flax and Equinox models with jax2onnx.

    python models/jax_zoo.py OUT --model residual_cnn

writes OUT/residual_cnn.onnx. Needs click and, on Python 3.11, the requirements below. Weights
are drawn from a fixed seed, BatchNorm statistics too; nothing is downloaded.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax2onnx import to_onnx
from model_files import Exported, zoo_command

REQUIREMENTS = (
    "jax[cpu]==0.10.2",
    "flax==0.12.8",
    "equinox==0.13.8",
    "jax2onnx==0.17.1",
    "onnx==1.23.2",
    "onnxruntime==1.31.1",
)
STEPS, WIDTH = 12, 32
WORDS = 60
CLASSES = 7
IMAGE = (3, 32, 32, 3)
SERIES = (3, STEPS, WIDTH)

Array = Any
RNGS = nnx.Rngs(0)


class ConvNorm(nnx.Module):
    """Conv, BatchNorm and an activation, channels last."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, **options: Any) -> None:
        """Take what ``nnx.Conv`` takes, and ``act``."""
        self.act = options.pop("act", nnx.relu)
        self.conv = nnx.Conv(inputs, outputs, (size, size), use_bias=False, rngs=RNGS, **options)
        self.norm = nnx.BatchNorm(outputs, use_running_average=True, rngs=RNGS)

    def __call__(self, x: Array) -> Array:
        """Return activations ``(N, H, W, outputs)``."""
        return self.act(self.norm(self.conv(x)))


def linear_act(x: Array) -> Array:
    """Return ``x``."""
    return x


class Head(nnx.Module):
    """Mean over positions and a projection to classes."""

    def __init__(self, width: int) -> None:
        """Take the number of channels."""
        self.dense = nnx.Linear(width, CLASSES, rngs=RNGS)

    def __call__(self, x: Array) -> Array:
        """Return logits ``(N, CLASSES)``."""
        return self.dense(x.mean(axis=tuple(range(1, x.ndim - 1))))


class Residual(nnx.Module):
    """Two convolutions and a shortcut, projected where the width changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        """Take widths and stride."""
        self.one = ConvNorm(inputs, outputs, strides=stride)
        self.two = ConvNorm(outputs, outputs, act=linear_act)
        plain = stride == 1 and inputs == outputs
        self.short = (
            linear_act if plain else ConvNorm(inputs, outputs, 1, strides=stride, act=linear_act)
        )

    def __call__(self, x: Array) -> Array:
        """Return the block's sum behind ReLU."""
        return nnx.relu(self.two(self.one(x)) + self.short(x))


def residual_cnn() -> nnx.Module:
    """Three residual blocks."""
    return nnx.Sequential(
        ConvNorm(3, 24), Residual(24, 24, 1), Residual(24, 48, 2), Residual(48, 48, 1), Head(48)
    )


class Excite(nnx.Module):
    """Squeeze and excite with two projections."""

    def __init__(self, width: int, squeezed: int) -> None:
        """Take both widths."""
        self.down = nnx.Linear(width, squeezed, rngs=RNGS)
        self.up = nnx.Linear(squeezed, width, rngs=RNGS)

    def __call__(self, x: Array) -> Array:
        """Return ``x`` with every channel scaled."""
        s = self.up(nnx.silu(self.down(x.mean(axis=(1, 2)))))
        return x * nnx.sigmoid(s)[:, None, None, :]


class Inverted(nnx.Module):
    """Expansion, depthwise, excite, projection and shortcut."""

    def __init__(self, width: int, expanded: int) -> None:
        """Take both widths."""
        self.body = nnx.Sequential(
            ConvNorm(width, expanded, 1, act=nnx.silu),
            ConvNorm(expanded, expanded, feature_group_count=expanded, act=nnx.silu),
            Excite(expanded, 12),
            ConvNorm(expanded, width, 1, act=linear_act),
        )

    def __call__(self, x: Array) -> Array:
        """Return the block's sum."""
        return x + self.body(x)


def inverted_residual_excite() -> nnx.Module:
    """EfficientNet-like."""
    return nnx.Sequential(ConvNorm(3, 16, strides=2), Inverted(16, 64), Inverted(16, 64), Head(16))


def depthwise_separable() -> nnx.Module:
    """MobileNet-like, ReLU6."""
    blocks: list[Any] = [ConvNorm(3, 16, strides=2)]
    for inputs, outputs in ((16, 32), (32, 64), (64, 64)):
        blocks += [
            ConvNorm(inputs, inputs, feature_group_count=inputs, act=nnx.relu6),
            ConvNorm(inputs, outputs, 1, act=nnx.relu6),
        ]
    return nnx.Sequential(*blocks, Head(64))


class UNet(nnx.Module):
    """Down with max-pooling, up with transposed convolution and resize, concatenated skips."""

    def __init__(self) -> None:
        """Draw weights."""
        self.a, self.b, self.c = ConvNorm(3, 12), ConvNorm(12, 24), ConvNorm(24, 48)
        self.up = nnx.ConvTranspose(48, 24, (2, 2), (2, 2), rngs=RNGS)
        self.d, self.e = ConvNorm(48, 24), ConvNorm(36, 12)
        self.out = nnx.Conv(12, 3, (1, 1), rngs=RNGS)

    def __call__(self, x: Array) -> Array:
        """Return an image."""
        a = self.a(x)
        b = self.b(nnx.max_pool(a, window_shape=(2, 2), strides=(2, 2)))
        c = self.up(self.c(nnx.max_pool(b, window_shape=(2, 2), strides=(2, 2))))
        d = self.d(jnp.concatenate([c, b], axis=-1))
        d = jax.image.resize(d, (*a.shape[:3], d.shape[-1]), "nearest")
        return self.out(self.e(jnp.concatenate([d, a], axis=-1)))


def flatten_cnn() -> nnx.Module:
    """LeNet: a channels-last reshape in front of Linear."""
    pool = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))
    return nnx.Sequential(
        nnx.Conv(3, 16, (5, 5), padding="VALID", rngs=RNGS), nnx.relu, pool,
        nnx.Conv(16, 32, (5, 5), padding="VALID", rngs=RNGS), nnx.relu, pool,
        lambda x: x.reshape(x.shape[0], -1),
        nnx.Linear(800, 64, rngs=RNGS), nnx.relu, nnx.Linear(64, CLASSES, rngs=RNGS),
    )  # fmt: skip


def grouped_cnn() -> nnx.Module:
    """Grouped and dilated convolutions with GroupNorm."""
    return nnx.Sequential(
        nnx.Conv(3, 24, (3, 3), rngs=RNGS), nnx.gelu,
        nnx.Conv(24, 24, (3, 3), feature_group_count=4, rngs=RNGS),
        nnx.GroupNorm(24, num_groups=4, rngs=RNGS), nnx.leaky_relu,
        nnx.Conv(24, 32, (3, 3), kernel_dilation=(2, 2), rngs=RNGS), nnx.elu, Head(32),
    )  # fmt: skip


def mlp() -> nnx.Module:
    """Linear, BatchNorm, LayerNorm."""
    return nnx.Sequential(
        nnx.Linear(WIDTH, 64, rngs=RNGS), nnx.BatchNorm(64, use_running_average=True, rngs=RNGS),
        nnx.selu, nnx.Linear(64, 64, rngs=RNGS), nnx.LayerNorm(64, rngs=RNGS), nnx.tanh,
        nnx.Linear(64, CLASSES, rngs=RNGS),
    )  # fmt: skip


class Attention(nnx.Module):
    """Multi-head attention written with einsum."""

    def __init__(self, width: int, heads: int) -> None:
        """Take the model width and the number of heads."""
        self.qkv = nnx.Linear(width, 3 * width, rngs=RNGS)
        self.out = nnx.Linear(width, width, rngs=RNGS)
        self.heads = heads

    def __call__(self, x: Array) -> Array:
        """Return mixed values ``(N, T, C)``."""
        n, t, c = x.shape
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads), 2, 0)
        weights = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", q, k) / 3.0, axis=-1)
        return self.out(jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, t, c))


class Block(nnx.Module):
    """A transformer block with the norm in front."""

    def __init__(self, width: int, attention: nnx.Module) -> None:
        """Take width and attention."""
        self.one, self.two = nnx.LayerNorm(width, rngs=RNGS), nnx.LayerNorm(width, rngs=RNGS)
        self.attention = attention
        self.up = nnx.Linear(width, 4 * width, rngs=RNGS)
        self.down = nnx.Linear(4 * width, width, rngs=RNGS)

    def __call__(self, x: Array) -> Array:
        """Return the block's sum."""
        x = x + self.attention(self.one(x))
        return x + self.down(nnx.gelu(self.up(self.two(x))))


def flax_attention(width: int, heads: int) -> nnx.Module:
    """Return Flax' own multi-head attention."""
    return nnx.MultiHeadAttention(
        heads, width, use_bias=True, decode=False, deterministic=True, rngs=RNGS
    )


class TextTransformer(nnx.Module):
    """Token and position tables and two blocks."""

    def __init__(self, attention: Callable[[int, int], nnx.Module]) -> None:
        """Take the kind of attention."""
        self.words = nnx.Embed(WORDS, WIDTH, rngs=RNGS)
        self.places = nnx.Embed(STEPS, WIDTH, rngs=RNGS)
        self.blocks = nnx.Sequential(
            *[Block(WIDTH, attention(WIDTH, 4)) for _ in range(2)],
            nnx.LayerNorm(WIDTH, rngs=RNGS),
            Head(WIDTH),
        )

    def __call__(self, words: Array) -> Array:
        """Return logits ``(N, CLASSES)``."""
        return self.blocks(self.words(words) + self.places(jnp.arange(STEPS)))


class VisionTransformer(nnx.Module):
    """Patches, RMSNorm and gated feed-forward."""

    def __init__(self) -> None:
        """Draw weights."""
        self.patches = nnx.Conv(3, 48, (4, 4), (4, 4), rngs=RNGS)
        self.norm = nnx.RMSNorm(48, rngs=RNGS)
        self.attention = Attention(48, 4)
        self.gate, self.up = nnx.Linear(48, 96, rngs=RNGS), nnx.Linear(48, 96, rngs=RNGS)
        self.down, self.head = nnx.Linear(96, 48, rngs=RNGS), Head(48)

    def __call__(self, x: Array) -> Array:
        """Return logits."""
        x = self.patches(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        x = x + self.attention(self.norm(x))
        return self.head(x + self.down(nnx.silu(self.gate(x)) * self.up(x)))


class TiedLanguageModel(nnx.Module):
    """A language model whose output projection is its embedding."""

    def __init__(self) -> None:
        """Draw weights."""
        self.words = nnx.Embed(WORDS, WIDTH, rngs=RNGS)
        self.block = Block(WIDTH, Attention(WIDTH, 4))

    def __call__(self, words: Array) -> Array:
        """Return logits ``(N, T, WORDS)``."""
        return self.words.attend(self.block(self.words(words)))


class EmbeddingClassifier(nnx.Module):
    """Mean of embeddings and two projections."""

    def __init__(self) -> None:
        """Draw weights."""
        self.words = nnx.Embed(WORDS, 48, rngs=RNGS)
        self.one, self.two = nnx.Linear(48, 32, rngs=RNGS), nnx.Linear(32, CLASSES, rngs=RNGS)

    def __call__(self, words: Array) -> Array:
        """Return logits."""
        return self.two(nnx.relu(self.one(self.words(words).mean(axis=1))))


def conv1d() -> nnx.Module:
    """Causal and dilated 1-D convolutions."""
    return nnx.Sequential(
        nnx.Conv(WIDTH, 32, (3,), padding="CAUSAL", rngs=RNGS), nnx.relu,
        nnx.Conv(32, 48, (3,), padding="CAUSAL", kernel_dilation=2, rngs=RNGS), nnx.relu,
        nnx.BatchNorm(48, use_running_average=True, rngs=RNGS),
        nnx.Conv(48, 32, (1,), rngs=RNGS), nnx.swish, Head(32),
    )  # fmt: skip


class LinenNet(linen.Module):
    """The older Flax API: convolutions, BatchNorm, a residual, Dense."""

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """Return logits."""
        x = linen.relu(linen.Conv(24, (3, 3))(x))
        y = linen.BatchNorm(use_running_average=True)(linen.Conv(24, (3, 3))(x))
        x = linen.max_pool(linen.relu(x + y), window_shape=(2, 2), strides=(2, 2))
        x = linen.relu(linen.Conv(32, (3, 3), strides=(2, 2))(x))
        return linen.Dense(CLASSES)(linen.relu(linen.Dense(48)(x.mean(axis=(1, 2)))))


class LinenTransformer(linen.Module):
    """The older Flax API: attention, dense-general projections."""

    @linen.compact
    def __call__(self, x: Array) -> Array:
        """Return logits."""
        y = linen.LayerNorm()(x)
        x = x + linen.MultiHeadDotProductAttention(num_heads=4)(y, y)
        y = linen.Dense(96)(linen.LayerNorm()(x))
        x = x + linen.Dense(WIDTH)(linen.gelu(y))
        return linen.Dense(CLASSES)(x.mean(axis=1))


@dataclass(frozen=True, slots=True)
class Linen:
    """A Linen module with its parameters bound."""

    module: linen.Module
    shape: Sequence[int]

    def bound(self) -> Callable[[Array], Array]:
        """Return a function of the input alone."""
        variables = self.module.init(jax.random.key(0), jnp.zeros(self.shape))
        return partial(self.module.apply, jax.tree.map(lively, variables))


def equinox_mlp() -> Callable[[Array], Array]:
    """An Equinox MLP over a batch."""
    return jax.vmap(eqx.nn.MLP(WIDTH, CLASSES, 64, 2, key=jax.random.key(0)))


def equinox_cnn() -> Callable[[Array], Array]:
    """An Equinox CNN, channels first, over a batch."""
    keys = jax.random.split(jax.random.key(0), 3)
    first, second = eqx.nn.Conv2d(3, 24, 3, key=keys[0]), eqx.nn.Conv2d(24, 32, 3, key=keys[1])
    dense, pool = eqx.nn.Linear(32, CLASSES, key=keys[2]), eqx.nn.MaxPool2d(2, 2)

    def one(x: Array) -> Array:
        x = pool(jax.nn.relu(first(jnp.transpose(x, (2, 0, 1)))))
        return dense(jax.nn.relu(second(x)).mean(axis=(1, 2)))

    return jax.vmap(one)


def recurrent(kind: type[Any], both: bool) -> Callable[[Array], Array]:
    """Two recurrent layers of Equinox cells by ``lax.scan``; jax2onnx cannot export Flax' own."""
    key, states = jax.random.key(0), 2 if kind is eqx.nn.LSTMCell else 1
    wide = 48 if both else 24
    cells = [[kind(size, 24, key=key) for _ in range(1 + both)] for size in (WIDTH, wide)]
    dense = eqx.nn.Linear(wide, CLASSES, key=key)

    def run(cell: Any, x: Array, backwards: bool) -> Array:
        def step(state: Array, row: Array) -> tuple[Array, Array]:
            state = jax.vmap(cell)(row, state)
            return state, state[0] if states == 2 else state

        zeros = jnp.zeros((x.shape[1], 24))
        rows = jnp.flip(x, 0) if backwards else x
        y = jax.lax.scan(step, (zeros, zeros) if states == 2 else zeros, rows)[1]
        return jnp.flip(y, 0) if backwards else y

    def classify(x: Array) -> Array:
        x = jnp.swapaxes(x, 0, 1)
        for ways in cells:
            parts = [run(cell, x, k == 1) for k, cell in enumerate(ways)]
            x = jnp.concatenate(parts, axis=-1)
        return jax.vmap(dense)(x.mean(axis=0))

    return classify


def simple_rnn() -> Callable[[Array], Array]:
    """A tanh recurrence with its weights captured by the loop."""
    rng = np.random.default_rng(0)
    into, over, out = (
        jnp.asarray(rng.standard_normal(shape).astype("f4") / 6)
        for shape in ((WIDTH, 40), (40, 40), (40, CLASSES))
    )

    def step(state: Array, row: Array) -> tuple[Array, None]:
        return jax.lax.tanh(row @ into + state @ over), None

    return lambda x: jax.lax.scan(step, jnp.zeros((3, 40)), jnp.swapaxes(x, 0, 1))[0] @ out


def scanned_mlp() -> Callable[[Array], Array]:
    """One residual layer repeated by ``lax.scan`` over stacked weights."""
    rng = np.random.default_rng(0)
    ups = jnp.asarray(rng.standard_normal((3, WIDTH, 48)).astype("f4") / 6)
    downs = jnp.asarray(rng.standard_normal((3, 48, WIDTH)).astype("f4") / 6)

    def layer(x: Array, weights: tuple[Array, Array]) -> tuple[Array, None]:
        return x + jax.lax.tanh(x @ weights[0]) @ weights[1], None

    return lambda x: jax.lax.scan(layer, x, (ups, downs))[0]


MODELS: dict[str, tuple[Callable[[], Any], Sequence[int], bool]] = {
    "residual_cnn": (residual_cnn, IMAGE, False),
    "depthwise_separable": (depthwise_separable, IMAGE, False),
    "inverted_residual_excite": (inverted_residual_excite, IMAGE, False),
    "unet": (UNet, IMAGE, False),
    "flatten_cnn": (flatten_cnn, IMAGE, False),
    "grouped_cnn": (grouped_cnn, IMAGE, False),
    "mlp": (mlp, (3, WIDTH), False),
    "transformer": (partial(TextTransformer, Attention), (3, STEPS), True),
    "transformer_flax_attention": (partial(TextTransformer, flax_attention), (3, STEPS), True),
    "vision_transformer": (VisionTransformer, IMAGE, False),
    "tied_language_model": (TiedLanguageModel, (3, STEPS), True),
    "embedding_classifier": (EmbeddingClassifier, (3, STEPS), True),
    "conv1d": (conv1d, SERIES, False),
    "linen_cnn": (Linen(LinenNet(), IMAGE).bound, IMAGE, False),
    "linen_transformer": (Linen(LinenTransformer(), SERIES).bound, SERIES, False),
    "equinox_mlp": (equinox_mlp, (3, WIDTH), False),
    "equinox_cnn": (equinox_cnn, IMAGE, False),
    "lstm": (partial(recurrent, eqx.nn.LSTMCell, False), SERIES, False),
    "bidirectional_lstm": (partial(recurrent, eqx.nn.LSTMCell, True), SERIES, False),
    "gru": (partial(recurrent, eqx.nn.GRUCell, False), SERIES, False),
    "bidirectional_gru": (partial(recurrent, eqx.nn.GRUCell, True), SERIES, False),
    "simple_rnn": (simple_rnn, SERIES, False),
    "scanned_mlp": (scanned_mlp, (3, WIDTH), False),
}
"""By name a maker, the shape of the input, and whether the input is word numbers."""


def lively(value: Array) -> Array:
    """Return the value, moved off its constant start if it is constant."""
    rng = np.random.default_rng(value.size)
    if value.size > 1 and np.issubdtype(value.dtype, np.floating) and np.ptp(value) == 0:
        return value + rng.uniform(0.05, 0.4, value.shape).astype(value.dtype)
    return value


def convert(name: str) -> Exported:
    """Build one model, convert it with a free batch axis and compute its output."""
    make, shape, words = MODELS[name]
    model = make()
    if isinstance(model, nnx.Module):
        state = nnx.state(model, (nnx.Param, nnx.BatchStat))
        nnx.update(model, jax.tree.map(lively, state))
    rng = np.random.default_rng(1)
    kind = "i4" if words else "f4"
    given = (rng.integers(0, WORDS, shape) if words else rng.standard_normal(shape)).astype(kind)
    proto = to_onnx(model, [jax.ShapeDtypeStruct(given.shape, given.dtype)])
    return Exported(proto, {proto.graph.input[0].name: given}, [np.asarray(model(given))])


BUILDERS: dict[str, Callable[[], Exported]] = {name: partial(convert, name) for name in MODELS}

if __name__ == "__main__":
    zoo_command(BUILDERS, __doc__ or "")()
