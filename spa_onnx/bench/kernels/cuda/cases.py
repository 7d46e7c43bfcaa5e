"""Which layers are timed on a GPU, with which zeros and types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spa_onnx.bench.kernels.shapes import Convolution, Group, Layer, Linear
from spa_onnx.errors import UsageError
from spa_onnx.lower.packings import Packing
from spa_onnx.runtime.cuda import Half
from spa_onnx.runtime.packed_kinds import TILE_SIDES, Kind
from spa_onnx.sparse.pattern import Pattern, parse_pattern

TYPES: tuple[Half, ...] = ("float16", "bfloat16")

TILES = tuple(f"{side}x{side}" for side in TILE_SIDES)
TWO_OF_FOUR = Pattern(1, 4, 2)

MODEL = ((4096, 4096), (4096, 11008), (11008, 4096))
BERT = ((768, 768), (768, 3072), (3072, 768))
RESNET = ((256, 64, 56), (64, 256, 56), (512, 128, 28), (128, 512, 28),
          (1024, 256, 14), (256, 1024, 14), (2048, 512, 7), (512, 2048, 7))  # fmt: skip
BERT_TOKENS, IMAGES = 8 * 128, 8

MANY_TOKENS = "linear, 512 or more"


def _linear(tokens: int, sizes: Sequence[tuple[int, int]] = MODEL) -> list[Layer]:
    return [Linear(tokens, inputs, outputs) for inputs, outputs in sizes]


GROUPS = (
    Group("decode", _linear(1), (*TILES, "2:4", "unstructured")),
    Group("linear-16", _linear(16), (*TILES, "2:4")),
    *(Group(f"linear-{n}", _linear(n), (*TILES, "2:4"), together=MANY_TOKENS)
      for n in (512, 2048, 4096)),
    Group("bert", _linear(BERT_TOKENS, BERT), (*TILES, "2:4")),
    Group("1x1", [Convolution(i, o, s, images=IMAGES) for i, o, s in RESNET], (*TILES, "2:4")),
)  # fmt: skip
"""Layers of a language model with seven billion parameters, of BERT-base for 8 sequences of 128
tokens, and the 1x1 convolutions of ResNet-50 for 8 images."""


@dataclass(frozen=True, slots=True)
class CudaCase:
    """A layer of a group with zeros in a pattern.

    Attributes:
        group: of layers.
        layer: to time.
        pattern: of its zeros.
        sparsity: share of zeros.
        values: type of all tensors.
    """

    group: Group
    layer: Layer
    pattern: Pattern
    sparsity: float
    values: Half

    def __str__(self) -> str:
        return f"{self.label} {self.pattern} {100 * self.sparsity:g} % {self.layer}"

    @property
    def label(self) -> str:
        """Return the group's name with the type."""
        return f"{self.group.name} {self.values}"

    @property
    def weight(self) -> tuple[int, int, str, str, float]:
        """Return what layers of the same weight have in common."""
        layer = self.layer
        return layer.rows, layer.columns, self.values, str(self.pattern), self.sparsity


def packing_for(pattern: Pattern) -> Packing:
    """Return how a weight with zeros in a pattern is stored.

    Raises:
        UsageError: no kernel for GPUs has it.
    """
    if pattern == TWO_OF_FOUR:
        return Packing(Kind.TWO_OF_FOUR)
    if pattern == Pattern():
        return Packing(Kind.BITMASK)
    if not pattern.kept and {pattern.outputs, pattern.inputs} <= {*TILE_SIDES}:
        return Packing(Kind.TILES, pattern.outputs, block_columns=pattern.inputs)
    raise UsageError(
        f"no kernel for GPUs has pattern {pattern}; there are 2:4, unstructured, and blocks whose "
        f"sides are of {', '.join(map(str, TILE_SIDES))}"
    )


def cases(
    groups: Sequence[Group],
    patterns: Sequence[str],
    sparsities: Sequence[float],
    types: Sequence[Half],
) -> Iterator[CudaCase]:
    """Yield what to time, layers of a mean together.

    Args:
        groups: of layers.
        patterns: of all groups; without any, each group has its own.
        sparsities: of patterns that do not say it themselves.
        types: of tensors.

    Raises:
        UsageError: no kernel has a pattern.
    """
    for group in groups:
        for values in dict.fromkeys(types):
            for pattern in dict.fromkeys(map(parse_pattern, patterns or group.patterns)):
                packing_for(pattern)
                own = pattern.sparsity
                for sparsity in dict.fromkeys(sparsities) if own is None else (own,):
                    for layer in group.layers:
                        yield CudaCase(group, layer, pattern, sparsity, values)
