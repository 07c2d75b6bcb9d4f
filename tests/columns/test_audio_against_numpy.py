"""The drawn spectrogram against numpy's Fourier transform, and against sounds whose answer is known."""

import numpy as np
import pyarrow as pa
import pytest
from column_oracle import encoded, fitted
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.columns import feature_options
from stages.contract.loader import declare
from stages.core.errors import ContractError

few = settings(max_examples=25, deadline=None)
RATE, SAMPLES = 8000, 2000
DECLARED = {"type": "audio", "rate": RATE, "seconds": SAMPLES / RATE}


def sine(hz: float, level: float = 1.0, samples: int = SAMPLES) -> bytes:
    wave = level * np.sin(2 * np.pi * hz * np.arange(samples) / RATE)
    return bytes(np.rint(wave * 32767).astype(np.int16).tobytes())


def noise(seed: int, level: float = 0.1) -> bytes:
    return bytes(np.random.default_rng(seed).normal(0, level * 32767, SAMPLES).clip(-32768, 32767).astype(np.int16))


SILENCE = bytes(2 * SAMPLES)


def decibels(sound: bytes, bands: int, low: float, high: float) -> np.ndarray:
    """float64 [bands, frames]: windows of 200 samples each 80, Hann, a transform of 256, triangles in mel."""
    samples = np.frombuffer(sound, np.int16) / 32768
    frames = np.stack([samples[start : start + 200] for start in range(0, SAMPLES - 199, 80)])
    window = np.sin(np.pi * (np.arange(200) + 0.5) / 200) ** 2
    power = np.abs(np.fft.rfft(frames * window, 256) * 2 / window.sum()) ** 2
    hz = np.arange(129) * RATE / 256
    edges = 700 * (np.exp(np.linspace(np.log1p(low / 700), np.log1p(high / 700), bands + 2)) - 1)
    weights = [np.interp(hz, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(bands)]
    return 10 * np.log10(np.maximum(power @ np.array(weights).T, 1e-10)).T


def normalised(level: np.ndarray) -> np.ndarray:
    loudest = level.max()
    level = np.maximum(level, loudest - 60)
    present = level.max(0) >= loudest - 40
    return np.asarray(level - level[:, present].mean(1, keepdims=True))


sounds = st.one_of(
    st.builds(sine, st.floats(50, 3900), st.floats(0, 1)),
    st.builds(noise, st.integers(0, 99), st.sampled_from([1e-4, 0.1, 3.0])),
    st.sampled_from(
        [SILENCE, sine(500, samples=1200) + bytes(1600), b"\x00\x80" * SAMPLES, b"\xff\x7f\x00\x80" * 1000]
    ),
)


@few
@given(values=st.lists(sounds, min_size=1, max_size=4), bands=st.sampled_from([1, 12, 20]))
def test_bands_are_those_of_numpys_transform_in_half_decibels(values, bands):
    found = encoded(DECLARED, values, values, bands=bands, low_hz=100, high_hz=3800)
    assert found.dtype == np.uint8
    expected = np.stack([decibels(value, bands, 100, 3800) for value in values])[:, None]
    np.testing.assert_allclose(found, np.clip((expected + 100) * 2, 0, 255), atol=0.51)


@few
@given(values=st.lists(sounds, min_size=1, max_size=4))
def test_a_normalised_recording_is_told_apart_from_its_own_mean(values):
    found = encoded(DECLARED, values, values, bands=20, low_hz=100, high_hz=3800, normalize="recording")
    expected = np.stack([normalised(decibels(value, 20, 100, 3800)) for value in values])[:, None]
    np.testing.assert_allclose(found, np.clip(128 + expected * 2, 0, 255), atol=0.6)


def test_a_sine_of_full_scale_is_at_0_decibels_in_its_own_band():
    found = encoded(DECLARED, [SILENCE], [sine(1000), sine(1000, 0.1), SILENCE, None], bands=24)
    assert found.shape == (4, 1, 24, 23)
    loudest = found[0, 0].argmax(0)
    assert len(set(loudest.tolist())) == 1
    assert abs(int(found[0].max()) - 200) <= 5  # 100 dB above the floor; a triangle adds what leaks beside the bin
    assert int(found[0].max()) - int(found[1].max()) == 40  # a tenth of the level is 20 dB
    assert not found[2:].any()


def test_a_recording_through_another_line_is_the_same_once_normalised():
    """A gain, and a filter that is flat within each band, are taken off; without normalising they are not."""
    quiet = np.rint(np.frombuffer(noise(1, 0.2), np.int16) * 0.25).astype(np.int16).tobytes()
    pair = [noise(1, 0.2), quiet]
    first, second = encoded(DECLARED, pair, pair, normalize="recording").astype(int)
    assert np.abs(first - second).max() <= 1
    first, second = encoded(DECLARED, pair, pair).astype(int)
    assert np.median(first - second) == 24  # 12 dB


def test_statistics_are_those_of_the_training_spectrograms():
    train = [noise(1), sine(700), None]
    encoder, _, _ = fitted(DECLARED, train)
    (spec,) = encoder.specs
    levels = encoded(DECLARED, train, train[:2]) / 255
    assert (spec.kind, spec.shape, spec.size) == ("wave", (1, 40, 23), 40 * 23)
    assert spec.mean == pytest.approx([levels.mean()])
    assert spec.std == pytest.approx([levels.std()])
    (silent,) = fitted(DECLARED, [SILENCE, SILENCE])[0].specs
    assert silent.std == (1.0,)


def test_a_band_that_no_bin_lies_in_takes_the_nearest():
    found = encoded(DECLARED, [SILENCE], [noise(2)], bands=200)
    assert (found.max(3) > 40).all()


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ({"window_ms": 0}, "window_ms is 0"),
        ({"low_hz": 500, "high_hz": 400}, "expected a high_hz above low_hz"),
        ({"normalize": "mean"}, "expected 'none' or 'recording'"),
    ],
)
def test_wrong_options_of_a_sound_are_named(features, complaint):
    with pytest.raises(ContractError) as refused:
        feature_options({"c": declare("t.columns.c", DECLARED)}, {}, {"c": features}, "t.features")
    assert complaint in str(refused.value)


def test_bands_above_half_the_rate_and_windows_longer_than_the_sound_are_refused():
    with pytest.raises(
        ContractError, match="between 60 and 5000 Hz; at 8,000 samples a second they must lie below 4000"
    ):
        fitted(DECLARED, [SILENCE], high_hz=5000)
    short = {**DECLARED, "seconds": 0.02}
    with pytest.raises(ContractError, match=r"has 160 samples and features\.window_ms takes 200"):
        fitted(short, [SILENCE[:320]])


def test_samples_of_another_length_are_rejected():
    column = declare("t.columns.c", {**DECLARED, "required": True})
    from stages.columns import module_of

    cleaned = module_of(column).clean("c", column, pa.array([SILENCE[:10], None], pa.binary(10)))
    assert {rule: mask.tolist() for rule, mask in cleaned.broken.items()} == {
        "audio": [True, False], "required": [False, True],
    }  # fmt: skip
