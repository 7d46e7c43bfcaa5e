"""The layers that are timed: shapes of well-known models, in groups of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spa_onnx.errors import UsageError


@dataclass(frozen=True, slots=True)
class Linear:
    """A product with a weight ``(outputs, inputs)`` for some tokens."""

    tokens: int
    inputs: int
    outputs: int

    @property
    def rows(self) -> int:
        """Return the rows of the weight as a matrix."""
        return self.outputs

    @property
    def columns(self) -> int:
        """Return the columns of the weight as a matrix."""
        return self.inputs

    @property
    def positions(self) -> int:
        """Return how often each weight is multiplied."""
        return self.tokens

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Return the shape of the input."""
        return (self.tokens, self.inputs)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Return the shape of the output."""
        return (self.tokens, self.outputs)

    def __str__(self) -> str:
        return f"{self.tokens} x {self.inputs} -> {self.outputs}"


@dataclass(frozen=True, slots=True)
class Convolution:
    """A square convolution of stride 1 over images whose size it keeps."""

    inputs: int
    outputs: int
    size: int
    kernel: int = 1
    images: int = 1

    @property
    def rows(self) -> int:
        """Return the rows of the weight as a matrix."""
        return self.outputs

    @property
    def columns(self) -> int:
        """Return the columns of the weight as a matrix."""
        return self.inputs * self.kernel**2

    @property
    def positions(self) -> int:
        """Return how often each weight is multiplied; with padding too, as rates usually count."""
        return self.images * self.size**2

    @property
    def x_shape(self) -> tuple[int, ...]:
        """Return the shape of the input."""
        return (self.images, self.inputs, self.size, self.size)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Return the shape of the output."""
        return (self.images, self.outputs, self.size, self.size)

    def __str__(self) -> str:
        images = f"{self.images} x " if self.images > 1 else ""
        taps = f"{self.kernel}x{self.kernel}"
        return f"{images}{taps} {self.inputs} -> {self.outputs} @ {self.size}"


Layer = Linear | Convolution


@dataclass(frozen=True, slots=True)
class Group:
    """Layers of a kind, and the patterns that suit them.

    Attributes:
        name: on the command line.
        layers: whose ratios are averaged.
        patterns: as ``sparsify`` names them.
        megabytes: of weights and tensors that one round of dense layers touches, so that they come
            from beyond the second-level cache, or for decoding from memory.
        together: the name under which its layers are averaged with those of other groups too.
    """

    name: str
    layers: Sequence[Layer]
    patterns: Sequence[str]
    megabytes: int = 24
    together: str = ""


def _linear(tokens: int) -> list[Layer]:
    return [Linear(tokens, 768, 768), Linear(tokens, 768, 3072), Linear(tokens, 3072, 768)]


RESNET = [(256, 64, 56), (64, 256, 56), (512, 128, 28), (128, 512, 28), (1024, 256, 14),
          (256, 1024, 14), (2048, 512, 7), (512, 2048, 7)]  # fmt: skip
MOBILE = [(32, 192, 28), (192, 64, 14), (64, 384, 14), (96, 576, 14), (160, 960, 7), (960, 160, 7)]
SQUARE = [(64, 56), (128, 28), (256, 14), (512, 7)]
ROWS = ("unstructured", "4x1", "8x1")
MANY_TOKENS = "linear, 128 or more"
TOKENS = ("unstructured", "4x1", "8x1", "16x1", "32x1")

GROUPS = (
    Group("1x1", [Convolution(i, o, s) for i, o, s in RESNET], ROWS),
    Group("1x1-mobile", [Convolution(i, o, s) for i, o, s in MOBILE], ROWS),
    Group("3x3", [Convolution(c, c, s, 3) for c, s in SQUARE], ROWS),
    Group("linear-128", _linear(128), TOKENS, together=MANY_TOKENS),
    Group("linear-196", _linear(196), TOKENS, together=MANY_TOKENS),
    Group("linear-16", _linear(16), TOKENS),
    Group(
        "decode",
        [Linear(1, 4096, 4096), Linear(1, 4096, 11008), Linear(1, 11008, 4096)],
        ("unstructured", "16x1", "32x1", "1x16", "2:4"),
        megabytes=700,
    ),
)


def find_groups(names: Sequence[str], among: Sequence[Group] | None = None) -> list[Group]:
    """Return the groups of these names, each once; without names all.

    Args:
        names: of groups.
        among: which there are; those for the CPU unless given.

    Raises:
        UsageError: there is no such group.
    """
    known = {group.name: group for group in (GROUPS if among is None else among)}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no group {name!r}; --list tells of {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names or known)]
