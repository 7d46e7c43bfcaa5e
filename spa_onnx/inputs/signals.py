"""Made-up signals along one axis: tones with overtones that come and go, over 1/f noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

TONES, OVERTONES = 3, 6

LOUDNESS = 0.1
"""Standard deviation where a full swing is one: that of recorded speech."""


def make_signals(count: int, length: int, rng: np.random.Generator) -> Array:
    """Return ``(count, length)`` of mean zero; most values lie within -0.5 and 0.5."""
    frequency = np.fft.rfftfreq(max(length, 2))
    frequency[0] = np.inf
    drawn = rng.standard_normal((2, count, len(frequency)))
    slope = rng.uniform(0.3, 1.0, (count, 1))
    noise = np.fft.irfft((drawn[0] + 1j * drawn[1]) * frequency**-slope, max(length, 2))[:, :length]
    noise /= np.maximum(noise.std(axis=1, keepdims=True), 1e-6)
    time = np.arange(length)
    made = 0.5 * noise
    for _ in range(TONES):
        pitch = np.exp(rng.uniform(np.log(2e-3), np.log(3e-2), (count, 1)))
        centre, spread = (
            length * rng.random((count, 1)),
            length * rng.uniform(0.05, 0.5, (count, 1)),
        )
        swell = np.exp(-0.5 * ((time - centre) / spread) ** 2)
        for k in range(1, OVERTONES + 1):
            phase = 2 * np.pi * (rng.random((count, 1)) + k * pitch * time)
            made += swell * rng.random((count, 1)) / k * np.sin(phase)
    made -= made.mean(axis=1, keepdims=True)
    loudness = LOUDNESS * np.exp(0.5 * rng.standard_normal((count, 1)))
    scaled: Array = (loudness * made / np.maximum(made.std(axis=1, keepdims=True), 1e-6)).astype(
        np.float32
    )
    return np.clip(scaled, -1.0, 1.0)
