"""Sound files in, exactly these samples or exactly these problems out."""

import base64
import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from serving import sound, wav
from serving.prepare import parse, prepare
from serving.values import Problem

COLUMN = {"name": "voice", "type": "audio", "rate": 8000, "seconds": 0.01, "trim": False, "fill": "silence"}
SECOND = {**COLUMN, "seconds": 1.0}


def riff(
    data: bytes, *, kind: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, size: int | None = None
) -> bytes:
    """A WAV file of these samples; `size` is what its header says that they take."""
    form = struct.pack("<HHIIHH", kind, channels, rate, 0, 0, bits)  # two facts that follow
    body = b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def shorts(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def written(samples: np.ndarray, rate: int = 8000, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **options)
    return file.getvalue()


def sine(hz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def heard(column: dict[str, Any], value: Any) -> list[int]:
    return list(parse(column, value).tolist())


# What files hold


def test_four_samples_are_followed_by_silence():
    assert heard(COLUMN, riff(shorts(1, -2, 32767, -32768))) == [1, -2, 32767, -32768] + [0] * 76


def test_channels_are_averaged():
    assert heard(COLUMN, riff(shorts(100, 300, -8, -10, 7, 7), channels=2))[:4] == [200, -9, 7, 0]


def test_a_longer_sound_is_cut_and_a_shorter_one_may_be_repeated():
    assert heard(COLUMN, riff(shorts(*range(500)))) == list(range(80))
    repeated = heard({**COLUMN, "fill": "repeat"}, riff(shorts(1, 2, 3)))
    assert repeated == ([1, 2, 3] * 27)[:80]


SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_each_kind_of_wav_is_read_as_libsndfile_reads_it(container, subtype):
    samples = np.random.default_rng(1).uniform(-1, 1, (999, 3))
    content = written(samples, 44100, format=container, subtype=subtype)
    mono, rate = wav.read_wav(content)
    expected, _ = soundfile.read(io.BytesIO(content), always_2d=True)
    assert rate == 44100
    np.testing.assert_allclose(mono, expected.mean(1), atol=2e-7)


def test_every_byte_of_the_two_laws_is_read_as_libsndfile_reads_it():
    for kind, subtype in ((6, "ALAW"), (7, "ULAW")):
        content = riff(bytes(range(256)), kind=kind, bits=8)
        expected, _ = soundfile.read(io.BytesIO(content))
        assert wav.read_wav(content)[0].tolist() == expected.tolist(), subtype


def test_chunks_of_other_kinds_and_odd_sizes_are_passed_over():
    content = riff(shorts(5, 6))
    listed = b"LIST\x03\0\0\0abc\0"  # three bytes and one of padding
    assert heard(COLUMN, content[:12] + listed + content[12:])[:3] == [5, 6, 0]


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_header_written_before_the_length_was_known_takes_what_is_there(size):
    assert heard(COLUMN, riff(shorts(5, 6) + b"\x07", size=size))[:3] == [5, 6, 0]


@pytest.mark.parametrize(("kind", "error"), [("OGG", 0.05), ("FLAC", 1e-4), ("MP3", 0.1), ("AIFF", 1e-4)])
def test_other_files_sound_as_they_did_before_they_were_written(kind, error):
    wave = sine(440, 8000)
    found = parse(SECOND, written(np.stack([wave, wave], 1), format=kind)) / 32768
    np.testing.assert_allclose(found[500:7000], wave[500:7000], atol=error)


def test_sounds_come_as_bytes_base64_samples_or_arrays_alike():
    file = riff(shorts(*range(80)))
    samples = np.arange(80, dtype=np.int16)
    encoded = base64.b64encode(samples.astype("<i2").tobytes()).decode()
    for value in (file, base64.b64encode(file).decode(), samples, samples.astype(">i2"), {"samples": encoded}):
        assert heard(COLUMN, value) == list(range(80))


def test_a_missing_sound_is_silence_and_no_rows_have_the_right_shape():
    arrays, problems = prepare([COLUMN], [{"voice": None}, {"voice": ""}, {"voice": riff(shorts(9))}])
    assert problems == [[], [], []]
    assert arrays["voice"].dtype == np.int16
    assert arrays["voice"].sum(1).tolist() == [0, 0, 9]
    assert prepare([COLUMN], [])[0]["voice"].shape == (0, 80)


# Rates


@pytest.mark.parametrize(
    ("rate", "wanted"), [(44100, 8000), (8000, 16000), (11025, 16000), (48000, 44100), (96000, 8000)]
)
def test_a_sine_is_the_same_sine_at_another_rate(rate, wanted):
    found = sound.resample(sine(1234, rate), rate, wanted)
    assert len(found) == wanted
    inside = slice(wanted // 20, -wanted // 20)
    np.testing.assert_allclose(found[inside], sine(1234, wanted)[inside], atol=1e-4)


def test_what_lies_above_half_of_the_new_rate_is_gone():
    found = sound.resample(sine(5000, 44100), 44100, 8000)
    assert np.abs(found[400:-400]).max() < 1e-4
    assert np.abs(sine(5000, 44100)[:: 44100 // 8000]).max() > 0.49  # every fifth sample alone would keep it


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 7, 1]) | st.integers(1, 400),
    wanted=st.sampled_from([8000, 16000, 4000, 3]) | st.integers(1, 400),
    count=st.integers(1, 700),
)
def test_resampling_is_scipys_polyphase_with_the_same_filter(rate, wanted, count):
    samples = np.random.default_rng(count).normal(size=count)
    up, down = sound.ratio(rate, wanted)
    taps = sound.low_pass(up, down) / up  # scipy brings the gain itself
    expected = samples if up == down else resample_poly(samples, up, down, window=taps)
    np.testing.assert_allclose(sound.resample(samples, rate, wanted), expected, atol=1e-12)


@settings(max_examples=200)
@given(rate=st.integers(2_000, 768_000), wanted=st.integers(4_000, 48_000))
def test_a_ratio_is_small_and_nearly_exact(rate, wanted):
    up, down = sound.ratio(rate, wanted)
    assert 1 <= up <= sound.MAX_PHASES
    assert 1 <= down <= sound.MAX_PHASES
    assert up / down == pytest.approx(wanted / rate, rel=1e-3)


def test_a_long_sound_is_cut_before_it_is_resampled_and_ends_the_same():
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, 5 * 44100)
    whole = sound.quantise(sound.resample(noise.astype(np.float32), 44100, 8000))[:8000]
    cut = parse(SECOND, written(noise, 44100, format="WAV", subtype="FLOAT"))
    assert cut.tolist() == whole.tolist()


# Silence


def test_silence_at_both_ends_is_trimmed_and_the_pause_within_stays():
    tone, pause = sine(500, 8000, 0.1), np.zeros(800)
    quiet = 0.001 * sine(500, 8000, 0.2)  # 54 dB down
    wave = np.concatenate([quiet, tone, pause, tone, quiet])
    found = parse({**SECOND, "trim": True}, written(wave, format="WAV", subtype="PCM_16"))
    expected = np.rint(np.concatenate([tone, pause, tone]) * 32767)
    np.testing.assert_allclose(found[:2400], expected, atol=1)
    assert np.abs(found[2400:]).max() == 0


def test_a_sound_of_silence_alone_stays():
    assert not any(heard({**COLUMN, "trim": True}, riff(shorts(*[0] * 90))))


# What is no sound

FORM = riff(shorts(1, 2, 3, 4))
BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "is no WAV, Ogg, FLAC, MP3 or AIFF sound: 0 bytes"),
    "a picture": (b"\x89PNG\r\n", "is no WAV, Ogg, FLAC, MP3 or AIFF sound: 6 bytes, b'\\x89PNG' first"),
    "no base64": ("%", "is neither a sound nor base64 of one"),
    "a number": (3.5, "3.5 is neither a sound nor base64 of one"),
    "no samples in a mapping": ({"pixels": "AAAA"}, "is neither a sound nor base64 of one: 'samples'"),
    "half a sample": ({"samples": "AAAA"}, "is neither a sound nor base64 of one: buffer size"),
    "samples of another length": (np.zeros(79, np.int16), "is int16 (79,); expected int16 (80,)"),
    "samples of another type": (np.zeros(80, np.float32), "is float32 (80,); expected int16 (80,)"),
    "another RIFF file": (b"RIFF\x04\0\0\0AVI ", "is a RIFF file of b'AVI ', not WAVE"),
    "a WAV cut off": (FORM[:-2], "is cut off: 6 of 8 bytes of samples are there"),
    "a WAV cut in its format": (FORM[:30], "whose format has 10 bytes, not 16 or more"),
    "a WAV without samples": (FORM[:40], "is a WAV file of 40 bytes without samples"),
    "a short format": (FORM[:16] + b"\x04\0\0\0" + FORM[20:24] + FORM[36:], "whose format has 4 bytes, not 16 or more"),
    "samples before their format": (FORM[:12] + FORM[36:], "whose samples stand before their format"),
    "no sample": (riff(b""), "has no samples"),
    "half a frame": (riff(shorts(1), channels=2), "has no samples"),
    "no channel": (riff(shorts(1), channels=0), "is a WAV file of 0 channels; 1 to 64 are read"),
    "60,000 channels": (riff(shorts(1), channels=60_000), "is a WAV file of 60000 channels; 1 to 64 are read"),
    "no rate": (riff(shorts(1), rate=0), "has 0 samples a second; 2,000 to 768,000 are read"),
    "an absurd rate": (riff(shorts(1), rate=4_000_000_000), "has 4,000,000,000 samples a second"),
    "12 bits": (riff(shorts(1), bits=12), "of format 1 with 12 bits; read are"),
    "ADPCM": (riff(shorts(1), kind=2, bits=4), "of format 2 with 4 bits; read are"),
    "not a number": (
        riff(np.array([0, np.nan, np.inf], "<f4").tobytes(), kind=3, bits=32),
        "has 2 samples that are no finite number",
    ),
    "past float32": (riff(np.array([1e300], "<f8").tobytes(), kind=3, bits=64), "has 1 samples that are no finite"),
    "an Ogg cut off": (written(sine(440, 8000), format="OGG")[:-9], "is cut off"),
    "an Ogg cut between pages": (written(sine(440, 8000, 9), format="OGG")[:5000], "is cut off"),
    "a FLAC cut off": (written(sine(440, 8000, 9), format="FLAC")[:9000], "cannot be decoded as a sound"),
    "an Ogg of something else": (b"OggS\0\x06" + bytes(30), "cannot be decoded as a sound"),
}


@pytest.mark.parametrize(("value", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_sound_is_told(value, said):
    with pytest.raises(Problem) as problem:
        parse(COLUMN, value)
    assert problem.value.rule == "audio"
    assert str(problem.value).startswith("voice ")
    assert said in str(problem.value)


def test_a_sound_of_too_many_samples_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(wav, "MAX_SAMPLES", 1000)
    for content in (riff(bytes(2002)), written(np.zeros(1001), format="FLAC"), written(np.zeros(1001), format="OGG")):
        with pytest.raises(Problem, match="has 1,001 × 1 samples; at most 1,000 are read"):
            parse(COLUMN, content)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["WAV", "OGG", "FLAC", "MP3"]),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=5),
    end=st.integers(0, 6000),
)
def test_a_damaged_sound_is_a_sound_or_a_problem(kind, changes, end):
    content = bytearray(written(sine(440, 8000), format=kind))
    for place, byte in changes:
        content[place % len(content)] = byte
    arrays, problems = prepare([COLUMN], [{"voice": bytes(content[:end])}])
    assert len(arrays["voice"]) + len(problems[0]) == 1
    assert arrays["voice"].shape[1:] == (80,)


def test_without_soundfile_a_wav_is_read_and_others_say_what_lacks(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)  # as where it is not installed
    assert heard(COLUMN, FORM)[:4] == [1, 2, 3, 4]
    with pytest.raises(Problem, match="the package soundfile, which reads others, is not installed"):
        parse(COLUMN, written(sine(440, 8000), format="FLAC"))
