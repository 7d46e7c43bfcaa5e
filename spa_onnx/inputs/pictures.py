"""Made-up pictures with the statistics of natural ones: things that hide each other, in light.

A picture is a pile of leaves whose sizes follow a power law, each with a colour, a shading of its
own and a share of the picture's textures; edges are more or less sharp, and light falls unevenly.
Channels vary together as those of photographs do.

Sources: the dead leaves model, Lee, Mumford and Huang, "Occlusion models for natural images", IJCV
2001; networks learn from such pictures, Baradad et al., "Learning to see by looking at noise",
NeurIPS 2021; 1/f amplitude spectra, Field, "Relations between the statistics of natural images",
JOSA A 1987; luminance, blue-yellow and red-green axes of natural colours, Ruderman et al., JOSA A
1998.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spa_onnx.errors import UsageError

Array = NDArray[np.float32]

COLOUR_AXES = np.array([[1, 1, 1], [-0.5, -0.5, 1], [1, -1, 0]], np.float32)
"""Luminance, blue against yellow, red against green."""

AT_ONCE = 1 << 17
"""Pixels of pictures that are made together, so that they stay in the processor's cache."""

AWAY = -1e5
"""Where leaves lie that a picture lacks."""

FIELDS = 3
"""Textures of a picture; the last is smooth and serves as light."""


@dataclass(frozen=True, slots=True)
class Look:
    """Statistics of made-up pictures.

    Attributes:
        leaves: how many lie in a picture at most.
        sizes: radii of the smallest and largest leaves in shares of the shorter side.
        smallest: pixels that a radius has at least.
        slopes: range of the exponents of the textures' amplitude spectra.
        texture: standard deviation of textures at most, where that of leaves is one.
        shading: rise of a leaf's luminance over its radius.
        light: standard deviation of the logarithm of light.
        colours: standard deviations along the colour axes.
        blur: pixels over which an edge goes at most.
        mean: of values between zero and one.
        contrast: standard deviation of values.
        spread: of the logarithm of contrast among pictures.
    """

    leaves: int = 24
    sizes: tuple[float, float] = (0.05, 0.6)
    smallest: float = 1.0
    slopes: tuple[float, float] = (0.7, 1.6)
    texture: float = 0.5
    shading: float = 0.5
    light: float = 0.2
    colours: tuple[float, float, float] = (1.0, 0.38, 0.2)
    blur: float = 2.5
    mean: float = 0.46
    contrast: float = 0.25
    spread: float = 0.3

    def __post_init__(self) -> None:
        low, high = self.sizes
        if not 0 < low < high:
            raise UsageError(f"sizes {self.sizes} of leaves are not positive and rising")
        if self.leaves < 1:
            raise UsageError(f"{self.leaves} leaves make no picture")


def make_pictures(
    count: int, channels: int, height: int, width: int, seed: int, look: Look | None = None
) -> Array:
    """Return ``(count, channels, height, width)`` of values between zero and one.

    Three channels are red, green and blue; one is luminance; a fourth is opaque alpha. Of other
    numbers of channels each is a mixture, alike in what it shows.
    """
    look = look or Look()
    mixing = _mixing(channels, look, seed)
    parts = []
    step = max(1, AT_ONCE // max(1, height * width))
    for start in range(0, count, step):
        rng = np.random.default_rng([seed, start])
        pile = _Pile(min(step, count - start), height, width, rng, look)
        planes = pile.planes()
        parts.append(np.einsum("ck,nkhw->nchw", mixing, planes, optimize=True))
    made = np.concatenate([np.zeros((0, channels, height, width), np.float32), *parts])
    values = _developed(made, look, seed)
    if channels == 4:
        values[:, 3] = 1.0
    return values


def _mixing(channels: int, look: Look, seed: int) -> Array:
    """Return ``(channels, 3)``: what the colour axes give to every channel."""
    deviations = np.array(look.colours, np.float32)
    if channels in (3, 4):
        axes = COLOUR_AXES.T if channels == 3 else np.vstack([COLOUR_AXES.T, np.ones((1, 3))])
        return (axes * deviations).astype(np.float32)
    if channels == 1:
        return np.array([[deviations[0], 0, 0]], np.float32)
    drawn = np.random.default_rng([seed, channels]).standard_normal((channels, 3))
    drawn[:, 0] = 1.0
    return (drawn * deviations).astype(np.float32)


def _developed(made: Array, look: Look, seed: int) -> Array:
    """Turn light into values: pictures of different contrast, cut at black and white."""
    rng = np.random.default_rng([seed, len(made), 1])
    scale = float(made.std()) if made.size else 1.0
    contrast = np.exp(look.spread * rng.standard_normal((len(made), 1, 1, 1)))
    contrast /= np.sqrt(np.mean(contrast**2)) if len(made) else 1.0
    values = look.mean + look.contrast / max(scale, 1e-6) * contrast * made
    clipped: Array = np.clip(values, 0.0, 1.0).astype(np.float32)
    return clipped


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One leaf in each of several pictures; every array is ``(pictures, 1, 1)``, or has planes.

    Attributes:
        square: its outline is a rectangle, not an ellipse.
    """

    centre: tuple[Array, Array]
    turn: tuple[Array, Array]
    radii: tuple[Array, Array]
    soft: Array
    square: bool
    colour: Array
    slope: tuple[Array, Array]
    wobble: Array


@dataclass(slots=True)
class _Pile:
    """Pictures that are made together.

    Attributes:
        count: how many.
        height: pixels.
        width: pixels.
        rng: random numbers of these pictures.
        look: statistics.
    """

    count: int
    height: int
    width: int
    rng: np.random.Generator
    look: Look

    def planes(self) -> Array:
        """Return luminance and two planes of colour, ``(pictures, 3, height, width)``."""
        fields = self._fields()
        down = np.arange(self.height, dtype=np.float32)[None, :, None]
        right = np.arange(self.width, dtype=np.float32)[None, None, :]
        # luminance and colours, then how much of each texture a pixel shows
        mixed = np.zeros((self.count, 3 + FIELDS - 1, self.height, self.width), np.float32)
        palette = self._normal(3)
        mixed += self._colours(palette)
        for leaf in self._leaves(palette):
            y, x = down - leaf.centre[0], right - leaf.centre[1]
            u = (x * leaf.turn[0] + y * leaf.turn[1]) / leaf.radii[0]
            v = (y * leaf.turn[0] - x * leaf.turn[1]) / leaf.radii[1]
            far = np.maximum(abs(u), abs(v)) if leaf.square else np.sqrt(u * u + v * v)
            far += leaf.wobble * fields[:, 0]
            cover = np.clip((1.0 - far) * leaf.soft + 0.5, 0.0, 1.0)
            mixed += cover[:, None] * (leaf.colour - mixed)
            mixed[:, 0] += cover * (leaf.slope[0] * u + leaf.slope[1] * v)
        for k in range(FIELDS - 1):
            mixed[:, 0] += mixed[:, 3 + k] * fields[:, k]
        light = np.exp(self.look.light * fields[:, -1:])
        shown: Array = (mixed[:, :3] + 1.5) * light - 1.5
        return shown

    def _leaves(self, palette: Array) -> Iterator[_Leaf]:
        """Yield leaves from the lowest to the highest."""
        look, rng = self.look, self.rng
        shorter = min(self.height, self.width)
        low = max(look.sizes[0] * shorter, look.smallest)
        high = max(look.sizes[1] * shorter, low * 1.01)
        numbers = rng.integers(look.leaves // 4, look.leaves + 1, self.count)
        for k in range(look.leaves):
            # the law r^-3 gives every size an equal share of the area
            even = self._uniform(low**-2 - high**-2, high**-2)
            radius: Array = (even**-0.5).astype(np.float32)
            away = np.where((numbers > k)[:, None, None], 0.0, AWAY).astype(np.float32)
            longer: Array = np.exp(0.4 * self._normal(1)).astype(np.float32)
            angle = self._uniform(2 * np.pi, 0.0)
            slopes = np.float32(look.shading / 2) * self._normal(2)
            yield _Leaf(
                centre=(self._uniform(self.height, 0.0) + away, self._uniform(self.width, 0.0)),
                turn=(np.cos(angle), np.sin(angle)),
                radii=(radius * longer[:, 0], radius / longer[:, 0]),
                soft=radius / self._uniform(max(look.blur - 1, 0.0), 1.0),
                square=bool(rng.random() < 0.35),
                colour=self._colours(palette),
                slope=(slopes[:, 0], slopes[:, 1]),
                wobble=self._uniform(0.25, 0.0),
            )

    def _colours(self, palette: Array) -> Array:
        """Return a colour near the palette and shares of textures, ``(pictures, planes, 1, 1)``."""
        own = 0.45 * palette + 0.9 * self._normal(3)
        shares = self._normal(FIELDS - 1) * self.rng.random((self.count, 1, 1, 1)) ** 2
        both = [own, self.look.texture * shares]
        return np.concatenate(both, axis=1).astype(np.float32)

    def _fields(self) -> Array:
        """Return textures of unit variance, ``(pictures, FIELDS, height, width)``."""
        shape = (self.count, FIELDS, 1, 1)
        down = np.fft.fftfreq(self.height).astype(np.float32)[:, None]
        right = np.fft.rfftfreq(self.width).astype(np.float32)
        angle = self.rng.uniform(0, np.pi, shape).astype(np.float32)
        longer = np.exp(0.5 * self.rng.standard_normal(shape)).astype(np.float32)
        low, high = self.look.slopes
        slopes = self.rng.uniform(low, high, shape).astype(np.float32)
        longer[:, -1], slopes[:, -1] = 1.0, 2.5
        u = (right * np.cos(angle) + down * np.sin(angle)) * longer
        v = (down * np.cos(angle) - right * np.sin(angle)) / longer
        frequency = np.sqrt(u * u + v * v)
        frequency[:, :, 0, 0] = np.inf  # no mean
        drawn = self.rng.standard_normal((2, *frequency.shape), np.float32)
        spectrum = (drawn[0] + 1j * drawn[1]) * frequency**-slopes
        made = np.fft.irfft2(spectrum, s=(self.height, self.width)).astype(np.float32)
        deviation = made.std(axis=(2, 3), keepdims=True)
        scaled: Array = made / np.maximum(deviation, 1e-6)
        return scaled

    def _uniform(self, width: float, start: float) -> Array:
        drawn = start + width * self.rng.random((self.count, 1, 1))
        return drawn.astype(np.float32)

    def _normal(self, planes: int) -> Array:
        return self.rng.standard_normal((self.count, planes, 1, 1), np.float32)
