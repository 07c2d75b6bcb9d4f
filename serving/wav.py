"""A WAV file's bytes in, its channels' mean as float32 and its rate out.

8 to 32 bits, float, mu-law and A-law (ITU-T G.711), by numpy alone; Python's own `wave` takes whole numbers only.
"""

import struct
from dataclasses import dataclass

import numpy as np

MAX_SAMPLES = 50_000_000  # of all channels: 18 minutes of mono at 44.1 kHz
MIN_RATE, MAX_RATE = 2_000, 768_000
MAX_CHANNELS = 64
STREAMED = 0x7FFFF000  # a program that writes to a pipe does not know the length, and says this much or more
PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
BITS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64), A_LAW: (8,), MU_LAW: (8,)}


class BrokenSound(ValueError):
    """What is wrong with a sound, as the rest of a sentence that begins with its column's name."""


@dataclass(frozen=True)
class Format:
    kind: int
    channels: int
    rate: int
    bits: int


def read_wav(content: bytes) -> tuple[np.ndarray, int]:
    """float32 [frames] in -1 … 1 (float files may go past it), and samples a second. Raises BrokenSound."""
    found, data = find_chunks(content)
    width = found.bits // 8 * found.channels
    frames = len(data) // width
    require_size(frames, found.channels, found.rate)
    return to_mono(to_float(data[: frames * width], found).reshape(frames, found.channels)), found.rate


def require_size(frames: int, channels: int, rate: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BrokenSound(f"has {rate:,} samples a second; {MIN_RATE:,} to {MAX_RATE:,} are read")
    if not 0 <= frames * channels <= MAX_SAMPLES:
        raise BrokenSound(f"has {frames:,} × {channels} samples; at most {MAX_SAMPLES:,} are read")


def to_mono(samples: np.ndarray) -> np.ndarray:
    """[frames, channels] → float32 [frames]. Raises BrokenSound where there is nothing, or no number."""
    if not samples.size:
        raise BrokenSound("has no samples")
    mono = samples.mean(1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BrokenSound(f"has {np.count_nonzero(~np.isfinite(mono)):,} samples that are no finite number")
    return np.asarray(mono)


def find_chunks(content: bytes) -> tuple[Format, memoryview]:
    """The format, and the bytes of the samples; other chunks are passed over."""
    if content[8:12] != b"WAVE":
        raise BrokenSound(f"is a RIFF file of {content[8:12]!r}, not WAVE")
    found, place = None, 12
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        start, rest = place + 8, len(content) - place - 8
        if name == b"data":
            if found is None:
                raise BrokenSound("is a WAV file whose samples stand before their format")
            if size > rest and size < STREAMED:
                raise BrokenSound(f"is cut off: {rest:,} of {size:,} bytes of samples are there")
            return found, memoryview(content)[start : start + min(size, rest)]
        if name == b"fmt ":
            found = read_format(content[start : start + size])
        place = start + size + size % 2
    raise BrokenSound(f"is a WAV file of {len(content):,} bytes without samples")


def read_format(chunk: bytes) -> Format:
    if len(chunk) < 16:
        raise BrokenSound(f"is a WAV file whose format has {len(chunk)} bytes, not 16 or more")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and len(chunk) >= 26:
        kind = struct.unpack_from("<H", chunk, 24)[0]
    if kind not in BITS or bits not in BITS[kind]:
        raise BrokenSound(
            f"is a WAV file of format {kind} with {bits} bits; read are whole numbers of 8, 16, 24 or 32 bits, "
            "floats, mu-law and A-law"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise BrokenSound(f"is a WAV file of {channels} channels; 1 to {MAX_CHANNELS} are read")
    return Format(kind, channels, rate, bits)


def to_float(data: memoryview, found: Format) -> np.ndarray:
    """float32 [samples], channels in turn."""
    if found.kind == FLOAT:
        with np.errstate(over="ignore"):  # past float32 is infinite, and refused
            return np.frombuffer(data, f"<f{found.bits // 8}").astype(np.float32)
    if found.kind in (A_LAW, MU_LAW):
        table = a_law() if found.kind == A_LAW else mu_law()
        return np.asarray(table[np.frombuffer(data, np.uint8)])
    if found.bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if found.bits == 24:  # the upper three bytes of a 32-bit number
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) / 2.0**31
    return np.frombuffer(data, f"<i{found.bits // 8}").astype(np.float32) / np.float32(2.0 ** (found.bits - 1))


def mu_law() -> np.ndarray:
    """float32 [256]: sign, exponent (3 bits) and mantissa (4 bits), all inverted; bias 33."""
    code = ~np.arange(256) & 0xFF
    size = ((((code & 0x0F) << 1) + 33) << ((code >> 4) & 7)) - 33
    return (np.where(code & 0x80, -size, size) / 8192).astype(np.float32)


def a_law() -> np.ndarray:
    """float32 [256]: every other bit inverted; the smallest exponent has no hidden bit."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, ((code & 0x0F) << 1) + 1
    size = np.where(exponent == 0, mantissa, (mantissa + 32) << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, size, -size) / 4096).astype(np.float32)
