"""What pruning should make of every model of the zoo, and the reasons where that is little.

A model is expected to be pruned and proved, with at least ``USUAL`` of its parameters gone at
``RATIO``. The bench says which measured reason stands beside a reason that is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

RATIO = 0.5
USUAL = 0.6
"""Share of the parameters that at least goes at ``RATIO``, without an exception below."""


@dataclass(frozen=True, slots=True)
class Less:
    """Models of which less than usual goes, and why that is right.

    Attributes:
        pattern: shell pattern of names.
        least: share of the parameters that goes nevertheless.
        reason: true, and in words that a user of the model would accept.
    """

    pattern: str
    least: float
    reason: str


CLASSIFIER = "most parameters are in a classifier of a thousand outputs or more, which stay"
STREAM = "the input lies on the residual stream, which so keeps its width"
CACHE = "keys and values are outputs or inputs of the model, and so keep their widths"
ONE_LAYER = "one hidden layer: inputs and outputs stay, so half of it is half of the model"

EXCEPTIONS = (
    Less("timm/mobilenetv2_035*", 0.55, CLASSIFIER),
    Less("timm/mobilenetv3_small_050*", 0.58, CLASSIFIER),
    Less("timm/tiny_vit_5m_224.dynamo", 0.59, CLASSIFIER),
    Less("torchvision_more/mnasnet0_5", 0.59, CLASSIFIER),
    Less("torchvision_more/shufflenet_v2_x0_5", 0.55, CLASSIFIER),
    Less("own/vae*", 0.52, "the noise is an input, so the code keeps its width"),
    Less("own/dlrm*", 0.57, "half of the parameters are in tables, whose rows stay"),
    Less("*/embedding_classifier", 0.58, "most parameters are in a vocabulary, whose rows stay"),
    Less("keras/simple_rnn", 0.59, ONE_LAYER),
    Less("sklearn/classifier_identity", 0.49, ONE_LAYER),
    Less("sklearn/classifier_tanh", 0.49, ONE_LAYER),
    Less("sklearn/selected_polynomial_regressor", 0.49, ONE_LAYER),
    Less("jax/linen_transformer", 0.48, STREAM),
    Less("jax/scanned_mlp", 0.49, STREAM),
    Less("jax/grouped_cnn", 0.51, "a constant of the size of an activation counts as parameters"),
    Less("handwritten/attention_2*", 0.48, STREAM),
    Less("handwritten/multi_head_attention", 0.48, STREAM),
    Less("handwritten/fused_encoder", 0.48, STREAM),
    Less("handwritten/skip_norms", 0.58, STREAM),
    Less("handwritten/attention_with_cache", 0.29, CACHE),
    Less("handwritten/group_query_attention", 0.32, CACHE),
    Less("handwritten/scattered_cache", 0.57, "rows are written to where only the run knows"),
    Less("handwritten/passed_outputs", 0.27, "hidden features are outputs and keep their widths"),
    Less(
        "handwritten/convolution_over_channels", 0.49,
        "a window slides over the channels, so their number and order stay",
    ),
    Less(
        "handwritten/unfolded", 0.57,
        "positions of maxima are counted through all channels, which so stay",
    ),
    Less(
        "handwritten/sequences", 0.49,
        "tensors of a sequence are joined along their lanes, in a number that only the run knows",
    ),
    Less("handwritten/einsum_attention", 0.48, STREAM),
    Less(
        "transformers/longformer*", 0.17,
        "windows of keys, values and tokens are scattered to positions that only the run knows, in "
        "tensors that hold the residual stream",
    ),
    Less("transformers/vilt*", 0.47, STREAM),
    Less("transformers/fnet*", 0.48, "a Fourier transform runs over the residual stream"),
)  # fmt: skip
"""Exceptions to ``USUAL``; the first that fits counts."""

REFUSALS = {
    "sklearn/pca_logistic": "LinearClassifier': coefficients in an attribute",
    "sklearn/pca_ridge": "LinearRegressor': coefficients in an attribute",
}
"""Models of which nothing may be cut, by name, with words of the error."""


def exception(name: str) -> Less | None:
    """Return the exception for a model."""
    return next((one for one in EXCEPTIONS if fnmatchcase(name, one.pattern)), None)
