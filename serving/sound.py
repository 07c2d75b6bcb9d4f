"""A sound file's bytes, the same in base64, or samples in; int16 samples of the declared rate and length out.

WAV is read by `serving/wav.py`; Ogg, FLAC, MP3 and AIFF need the package soundfile. Channels are averaged.
"""

import base64
import io
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.values import Problem, shorten
    from serving.wav import BrokenSound, read_wav, require_size, to_mono
else:
    from values import Problem, shorten
    from wav import BrokenSound, read_wav, require_size, to_mono

Column = Mapping[str, Any]
OGG, OGG_LAST_PAGE = b"OggS", 4
MARKS = (OGG, b"fLaC", b"ID3", b"FORM")  # what libsndfile is trusted with, and bare MP3
MAX_PHASES = 2000  # of the ratio of two rates; past it the nearest such ratio is taken, off by 0.1% at most
ZERO_CROSSINGS, BETA = 16, 8.6  # of the Kaiser-windowed sinc: aliases are 80 dB down
TRIM_FRAME_SECONDS, TRIM_DECIBELS = 0.02, 40.0


def parse_audio(column: Column, value: Any) -> np.ndarray:
    """int16 [rate · seconds], full scale 32768.

    Takes a sound file's bytes, the same in base64, or samples of that very number: an array, or
    {"samples": base64 of its little-endian bytes} as golden/inputs.json has them.
    """
    count = num_samples(column)
    try:
        if isinstance(value, Mapping):
            value = np.frombuffer(base64.b64decode(value["samples"], validate=True), "<i2")
        elif isinstance(value, str):
            value = base64.b64decode(value, validate=True)
    except (KeyError, TypeError, ValueError) as error:
        raise Problem("audio", f"{column['name']} is neither a sound nor base64 of one: {error}") from None
    if isinstance(value, bytes):
        return decode_audio(column, value)
    if not isinstance(value, np.ndarray):
        raise Problem("audio", f"{column['name']} {shorten(value)} is neither a sound nor base64 of one")
    if value.shape != (count,) or value.dtype.newbyteorder("=") != np.int16:
        raise Problem("audio", f"{column['name']} is {value.dtype} {value.shape}; expected int16 ({count},)")
    return value.astype(np.int16)


def num_samples(column: Column) -> int:
    count: int = round(column["rate"] * column["seconds"])
    return count


def decode_audio(column: Column, content: bytes) -> np.ndarray:
    try:
        mono, rate = read_wav(content) if content.startswith(b"RIFF") else read_other(content)
    except BrokenSound as error:
        raise Problem("audio", f"{column['name']} {error}") from None
    if column.get("trim"):
        mono = trim(mono, rate)
    wanted = num_samples(column)
    mono = mono[: round((column["seconds"] + 1) * rate)]  # more than the last sample can hear of
    return to_length(quantise(resample(mono, rate, column["rate"])), wanted, repeat=column.get("fill") == "repeat")


def read_other(content: bytes) -> tuple[np.ndarray, int]:
    """float32 [frames] and the rate, by libsndfile. Raises BrokenSound."""
    is_mp3 = content[:1] == b"\xff" and content[1:2] >= b"\xe0"  # eleven bits that begin a frame
    if not content.startswith(MARKS) and not is_mp3:
        raise BrokenSound(f"is no WAV, Ogg, FLAC, MP3 or AIFF sound: {len(content):,} bytes, {content[:4]!r} first")
    if content.startswith(OGG):
        require_last_page(content)
    try:
        import soundfile  # type: ignore[import-untyped]
    except (ImportError, OSError):  # OSError: the package without its libsndfile
        raise BrokenSound("is no WAV file, and the package soundfile, which reads others, is not installed") from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            require_size(file.frames, file.channels, file.samplerate)
            samples = file.read(dtype="float32", always_2d=True)
            promised, rate = file.frames, int(file.samplerate)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:  # whatever a broken file makes of it
        raise BrokenSound(f"cannot be decoded as a sound: {error}") from None
    if content.startswith(b"fLaC") and len(samples) < promised:
        raise BrokenSound(f"is cut off: {len(samples):,} of {promised:,} samples are there")
    return to_mono(samples), rate


def require_last_page(content: bytes) -> None:
    """An Ogg stream ends in a page that says so; libsndfile takes one that is cut off for a short one."""
    last = content.rfind(OGG)
    if len(content) < last + 27 or not content[last + 5] & OGG_LAST_PAGE:
        raise BrokenSound(f"is cut off: its {len(content):,} bytes have no last Ogg page")
    segments = content[last + 27 : last + 27 + content[last + 26]]
    if len(segments) < content[last + 26] or len(content) < last + 27 + len(segments) + sum(segments):
        raise BrokenSound(f"is cut off in its last Ogg page, after {len(content):,} bytes")


def trim(mono: np.ndarray, rate: int) -> np.ndarray:
    """Without the beginning and end that are 40 dB below the loudest 20 ms; silence alone stays as it is."""
    width = max(round(TRIM_FRAME_SECONDS * rate), 1)
    frames = np.pad(mono.astype(np.float64), (0, -len(mono) % width)).reshape(-1, width)
    power = np.square(frames).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-TRIM_DECIBELS / 10))
    return mono[loud[0] * width : (loud[-1] + 1) * width] if len(loud) else mono


def resample(mono: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """float [frames] at `rate` → float64 [⌈frames · wanted / rate⌉], by a windowed sinc in phases.

    Output n is input n · down / up, read through a low pass below half of the lower rate. That of each of the
    `up` phases is one matrix product over strided windows (Crochiere and Rabiner, 1983).
    """
    up, down = ratio(rate, wanted)
    if up == down:
        return mono.astype(np.float64)
    taps = low_pass(up, down)
    half = len(taps) // 2
    reach = half // up + 1  # of input samples on either side
    count = -(-len(mono) * up // down)
    blocks = -(-count // up)
    padded = np.pad(mono.astype(np.float64), (reach, reach + blocks * down + 1 - min(len(mono), blocks * down)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    found = np.empty((blocks, up))
    for phase in range(up):
        start, offset = divmod(phase * down, up)
        places = half + offset - up * np.arange(-reach, reach + 1)  # of each input sample's tap
        heard = (places >= 0) & (places < len(taps))
        weights = np.where(heard, taps[np.clip(places, 0, len(taps) - 1)], 0.0)
        found[:, phase] = windows[start::down][:blocks] @ weights
    return found.reshape(-1)[:count]


def ratio(rate: int, wanted: int) -> tuple[int, int]:
    """wanted / rate as up / down, both at most MAX_PHASES."""
    if wanted < rate:
        found = Fraction(wanted, rate).limit_denominator(MAX_PHASES)
        return max(found.numerator, 1), found.denominator
    found = Fraction(rate, wanted).limit_denominator(MAX_PHASES)
    return found.denominator, max(found.numerator, 1)


@lru_cache(maxsize=8)
def low_pass(up: int, down: int) -> np.ndarray:
    """A Kaiser-windowed sinc at the rate of both, whose gain at 0 Hz is `up`."""
    step = max(up, down)
    half = ZERO_CROSSINGS * step
    taps = np.sinc(np.arange(-half, half + 1) / step) * np.kaiser(2 * half + 1, BETA)
    return np.asarray(taps * (up / taps.sum()))


def quantise(samples: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)


def to_length(samples: np.ndarray, count: int, *, repeat: bool) -> np.ndarray:
    """The first `count`; a shorter sound is followed by silence, or by itself."""
    if len(samples) >= count:
        return samples[:count]
    return np.resize(samples, count) if repeat else np.pad(samples, (0, count - len(samples)))
