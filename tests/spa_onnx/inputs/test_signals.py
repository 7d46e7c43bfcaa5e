import numpy as np

from spa_onnx.inputs.signals import make_signals


def test_signals_have_low_tones_and_different_loudness() -> None:
    made = make_signals(20, 4000, np.random.default_rng(0))
    assert made.shape == (20, 4000)
    assert made.dtype == np.float32
    assert np.abs(made).max() <= 1
    assert np.allclose(made.mean(axis=1), 0, atol=0.02)
    loudness = made.std(axis=1)
    assert 0.02 < loudness.min() < 0.8 * loudness.max() < 0.5
    power = np.square(np.abs(np.fft.rfft(made))).mean(axis=0)
    assert power[1:400].sum() > 5 * power[400:].sum()


def test_signals_follow_the_random_numbers() -> None:
    first, again, other = (make_signals(2, 300, np.random.default_rng(s)) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_short_signals_are_signals_too() -> None:
    for length in (1, 2, 3):
        made = make_signals(2, length, np.random.default_rng(0))
        assert made.shape == (2, length)
        assert np.isfinite(made).all()
