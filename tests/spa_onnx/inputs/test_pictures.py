import time

import numpy as np
import pytest

from spa_onnx.errors import UsageError
from spa_onnx.inputs.pictures import Look, make_pictures


def _spectral_slope(pictures: np.ndarray) -> float:
    """Return the exponent of the amplitude spectrum of luminance, by a windowed transform."""
    light = pictures.mean(axis=1, dtype=np.float64)
    light -= light.mean(axis=(1, 2), keepdims=True)
    size = light.shape[-1]
    window = np.hanning(size)[:, None] * np.hanning(size)
    power = np.square(np.abs(np.fft.fft2(light * window))).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    bands = 0.07 * 1.4 ** np.arange(6)
    means = [power[(frequency >= b) & (frequency < 1.4 * b)].mean() for b in bands]
    return float(np.polyfit(np.log(bands), np.log(means), 1)[0] / 2)


def test_pictures_follow_the_seed() -> None:
    first, again, other = (make_pictures(5, 3, 24, 20, seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [(8, 8), (33, 17), (9, 40)])
def test_pictures_have_their_shape_and_values_between_black_and_white(
    channels: int, size: tuple[int, int]
) -> None:
    made = make_pictures(6, channels, *size, seed=0)
    assert made.shape == (6, channels, *size)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 1
    assert made[:, 0].std() > 0.1


def test_no_pictures_are_an_array_too() -> None:
    assert make_pictures(0, 3, 8, 8, seed=0).shape == (0, 3, 8, 8)


def test_the_spectrum_falls_as_that_of_photographs() -> None:
    """Photographs have amplitudes of one over frequency, small ones a little steeper."""
    assert -1.6 < _spectral_slope(make_pictures(256, 3, 32, 32, seed=0)) < -1.0
    assert -1.6 < _spectral_slope(make_pictures(24, 3, 128, 128, seed=0)) < -0.9
    noise = np.random.default_rng(0).random((256, 3, 32, 32))
    assert abs(_spectral_slope(noise)) < 0.1


def test_channels_vary_together_and_neighbours_are_alike() -> None:
    made = make_pictures(256, 3, 32, 32, seed=0)
    red, green, blue = made.transpose(1, 0, 2, 3).reshape(3, -1)
    for one, other in ((red, green), (green, blue), (red, blue)):
        assert 0.75 < np.corrcoef(one, other)[0, 1] < 0.98
    assert np.corrcoef(made[..., 1:].ravel(), made[..., :-1].ravel())[0, 1] > 0.85


def test_differences_of_neighbours_have_heavy_tails() -> None:
    """Edges: of noise with the same spectrum the fourth moment would be three."""
    difference = np.diff(make_pictures(256, 1, 32, 32, seed=0), axis=3).astype(np.float64)
    assert np.mean(difference**4) / np.mean(difference**2) ** 2 > 6


def test_pictures_differ_in_brightness_and_contrast() -> None:
    made = make_pictures(256, 3, 32, 32, seed=0)
    assert made.mean(axis=(1, 2, 3)).std() > 0.08
    contrasts = made.std(axis=(1, 2, 3))
    assert np.quantile(contrasts, 0.9) > 2 * np.quantile(contrasts, 0.1)


def test_moments_are_those_that_were_asked_for() -> None:
    made = make_pictures(256, 3, 32, 32, seed=0, look=Look(mean=0.5, contrast=0.1, spread=0.0))
    assert made.mean() == pytest.approx(0.5, abs=0.03)
    assert made.std() == pytest.approx(0.1, abs=0.02)


def test_more_leaves_make_more_edges() -> None:
    few, many = (
        np.abs(np.diff(make_pictures(64, 1, 64, 64, 0, Look(leaves=n, texture=0.0)), axis=3))
        for n in (4, 96)
    )
    assert (many > 0.05).mean() > 1.5 * (few > 0.05).mean()


def test_making_pictures_is_fast() -> None:
    """A second on one idle core; the bound leaves room for a busy one."""
    start = time.process_time()
    make_pictures(512, 3, 32, 32, seed=0)
    assert time.process_time() - start < 10


def test_bad_looks_are_refused() -> None:
    with pytest.raises(UsageError, match="sizes"):
        Look(sizes=(0.5, 0.1))
    with pytest.raises(UsageError, match="leaves"):
        Look(leaves=0)
