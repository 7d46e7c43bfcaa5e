"""Every block, with the kinds of feature it reads and makes and the first opset that has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.random_graphs import (
    attention,
    channel_mixing,
    crossings,
    ends,
    grouped,
    lanes,
    pixels,
    pointwise,
    residuals,
    sequences,
    vectors,
)
from tests.random_graphs.canvas import Canvas

# Images are (N, C, H, W), sequences (N, T, C), vectors (N, C).
Kind = Literal["image", "sequence", "vector"]


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a network.

    Attributes:
        reads: kind of feature that ``build`` takes.
        makes: kind of feature that it returns.
        since: first opset with its operators.
        needs_length: whether the number of tokens must be static.
    """

    name: str
    build: Callable[[Canvas, str], str]
    reads: Kind
    makes: Kind
    since: int = 9
    needs_length: bool = False


@dataclass(frozen=True, slots=True)
class Stem:
    """A first layer on a graph input of its own."""

    name: str
    build: Callable[[Canvas], str]
    makes: Kind


STEMS = (
    Stem("image_stem", ends.image_stem, "image"),
    Stem("token_stem", ends.token_stem, "sequence"),
    Stem("frame_stem", ends.frame_stem, "sequence"),
    Stem("vector_stem", ends.vector_stem, "vector"),
)


def _on_images(build: Callable[[Canvas, str], str], since: int = 9) -> Block:
    return Block(build.__name__, build, "image", "image", since)


def _on_sequences(
    build: Callable[[Canvas, str], str], since: int = 9, *, needs_length: bool = False
) -> Block:
    return Block(build.__name__, build, "sequence", "sequence", since, needs_length)


def _on_vectors(build: Callable[[Canvas, str], str], since: int = 9) -> Block:
    return Block(f"vector_{build.__name__}", build, "vector", "vector", since)


BLOCKS = (
    _on_images(residuals.plain),
    _on_images(residuals.residual_identity),
    _on_images(residuals.residual_projection),
    _on_images(residuals.residual_padded),
    _on_images(residuals.bottleneck),
    _on_images(residuals.pre_activation),
    _on_images(residuals.dense_growth),
    _on_images(residuals.branches),
    _on_images(residuals.split_halves),
    _on_images(residuals.split_and_add),
    _on_images(residuals.cascade),
    _on_images(residuals.second_image),
    _on_images(grouped.group_conv),
    _on_images(grouped.group_conv_stack),
    _on_images(grouped.group_conv_of_concat),
    _on_images(grouped.depthwise),
    _on_images(grouped.inverted_residual),
    _on_images(grouped.ghost),
    _on_images(grouped.squeeze_excite),
    _on_images(grouped.selective_kernels),
    _on_images(grouped.permuted_group_conv),
    _on_images(grouped.shuffle_v1),
    _on_images(grouped.shuffle_v2),
    _on_images(lanes.pad_channels),
    _on_images(lanes.strided_slices, since=10),
    _on_images(lanes.negative_slices),
    _on_images(lanes.flip, since=10),
    _on_images(lanes.overlapping_slices),
    _on_images(lanes.roll),
    _on_images(lanes.permute_channels),
    _on_images(lanes.select_channels),
    _on_images(lanes.crelu),
    _on_images(lanes.maxout),
    _on_images(lanes.glu),
    _on_images(lanes.repeat_channels),
    _on_images(pixels.pixel_shuffle),
    _on_images(pixels.pixel_unshuffle),
    _on_images(pixels.conv_transpose),
    _on_images(pixels.pyramid),
    _on_images(pixels.conv_3d),
    _on_images(pixels.rows_as_signal),
    _on_images(pixels.local_response),
    _on_images(channel_mixing.channels_last_mlp),
    _on_images(channel_mixing.spatial_gate),
    _on_images(channel_mixing.unit_length),
    _on_images(channel_mixing.summary_channels),
    _on_images(channel_mixing.channel_softmax),
    _on_images(channel_mixing.efficient_channel_attention),
    _on_images(channel_mixing.cross_covariance),
    _on_images(channel_mixing.masked_image),
    _on_images(attention.attention_of_pixels),
    _on_images(attention.attention_in_windows),
    _on_images(pointwise.pass_through),
    _on_sequences(attention.attention_separate),
    _on_sequences(attention.attention_fused),
    _on_sequences(attention.attention_grouped_queries),
    _on_sequences(attention.attention_rotary, since=10),
    _on_sequences(attention.attention_einsum, since=12),
    _on_sequences(attention.attention_cross),
    _on_sequences(attention.attention_normalised),
    _on_sequences(attention.attention_masked, needs_length=True),
    _on_sequences(sequences.mlp),
    _on_sequences(sequences.plain_linear),
    _on_sequences(sequences.swiglu),
    _on_sequences(sequences.recurrent),
    _on_sequences(sequences.convolution),
    _on_sequences(sequences.roll_features),
    _on_sequences(sequences.shift_tokens),
    _on_sequences(sequences.mix_tokens, needs_length=True),
    _on_sequences(sequences.positions, needs_length=True),
    _on_sequences(sequences.experts),
    _on_sequences(sequences.concat_skip),
    _on_sequences(sequences.merge_tokens, needs_length=True),
    _on_vectors(vectors.dense),
    _on_vectors(vectors.residual),
    _on_vectors(vectors.gated),
    _on_vectors(vectors.maxout),
    _on_vectors(vectors.outer_product),
    _on_vectors(vectors.second_vector),
    _on_vectors(vectors.normalised),
    _on_vectors(vectors.soft_gate),
    _on_vectors(vectors.tied),
    _on_vectors(pointwise.pass_through),
    _on_vectors(lanes.roll),
    _on_vectors(lanes.permute_channels),
    _on_vectors(lanes.select_channels),
    _on_vectors(lanes.negative_slices),
    _on_vectors(lanes.overlapping_slices),
    _on_vectors(lanes.flip, since=10),
    Block("flatten_image", crossings.flatten_image, "image", "vector"),
    Block("pool_image", crossings.pool_image, "image", "vector"),
    Block("gram", crossings.gram, "image", "vector"),
    Block("pixels_as_tokens", crossings.pixels_as_tokens, "image", "sequence"),
    Block("patches_and_class", crossings.patches_and_class, "image", "sequence"),
    Block("mean_token", crossings.mean_token, "sequence", "vector"),
    Block("one_token", crossings.one_token, "sequence", "vector"),
    Block("flatten_tokens", crossings.flatten_tokens, "sequence", "vector", needs_length=True),
    Block("tokens_as_row", crossings.tokens_as_row, "sequence", "image", needs_length=True),
    Block("vector_as_image", crossings.vector_as_image, "vector", "image"),
    Block("vector_as_tokens", crossings.vector_as_tokens, "vector", "sequence"),
)
