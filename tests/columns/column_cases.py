"""Declarations, with raw values as files have them: one case or more for each type of column and option."""

import io
import struct
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Case:
    """A declaration, and raw values as files have them. `poison` is sound, and far from `train`."""

    declared: dict[str, Any]
    train: list[Any]
    poison: list[Any]
    features: dict[str, Any] = field(default_factory=dict)


def picture(level: int, kind: str = "PNG", mode: str = "L") -> bytes:
    file = io.BytesIO()
    pixels = (np.arange(6 * 5) * 7 + level) % 256
    Image.fromarray(pixels.astype(np.uint8).reshape(6, 5)).convert(mode).save(file, kind)
    return file.getvalue()


def tone(hz: float, seconds: float = 0.1, level: float = 0.5, rate: int = 8000, channels: int = 1) -> bytes:
    """A sine as a WAV file of 16 bits."""
    wave = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    data = np.repeat(np.rint(wave * 32767).astype("<i2"), channels).tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def compressed(kind: str, rate: int = 11025) -> bytes:
    import soundfile

    file = io.BytesIO()
    noise = np.random.default_rng(3).normal(0, 0.1, (rate // 8, 2))
    soundfile.write(file, noise, rate, format=kind)
    return file.getvalue()


WORDS = ["\0", "null", "👍🏽 ok", "straße É"]
DAYS = ["", "2011-12-01 08:26+02:00", "0001-01-01", "0001-01-01T00:00+01:00", "2011-02-30"]
NUMBERS = ["3", " 1.5 ", "-2e3", "", "NA", "12 pcs", "+5", None, "-0.0", ".5", "1e999", "4", "4", "1_000", "０"]
TEXTS = ["the cat sat on the mat", "The thing: 100%!", "東京タワー東京", "", None, "naïve привет", *WORDS]
CASES = {
    "number": Case({"type": "number"}, NUMBERS, ["1e300", "-1e300", "5e-324"]),
    "number, log": Case({"type": "number"}, NUMBERS, ["1e300", "-1e300"], {"scale": "log"}),
    "number, quantile": Case({"type": "number"}, NUMBERS, ["1e300", "-1e300"], {"scale": "quantile"}),
    "number, piecewise": Case({"type": "number"}, NUMBERS, ["1e300", "-1e300"], {"scale": "piecewise", "bins": 4}),
    "number, bounded": Case({"type": "number", "required": True, "min": 0, "max": 4}, NUMBERS, ["0", "4"]),
    "number, floats": Case({"type": "number"}, [1.5, None, float("nan"), -0.0, 5e-324, 1e300], [1e-300]),
    "number, whole": Case({"type": "number"}, [1, None, 2**53 + 1, -7], [2**62]),
    "category": Case(
        {"type": "category", "missing": ["", "?"]},
        ["red", " red", "blue", "Red", "", "?", None, "e\u0301", "é", "日本", "a\0b", "NA", "👍🏽"],
        ["mauve", "x" * 5000],
        {"min_count": 1},
    ),
    "category, values": Case(
        {"type": "category", "required": True, "values": {"yes": ["Y", "oui"], "no": []}},
        ["yes", "Y", "oui ", "no", "maybe", "", None, "yes"],
        ["no"],
    ),
    "category, hashed": Case(
        {"type": "category"}, ["red", "blue", "", None, "日本", "👍🏽"], ["mauve", "x" * 5000], {"hash_buckets": 5}
    ),
    "boolean": Case(
        {"type": "boolean"}, ["true", " YES", "0", "f", "", None, "N/A", "2", "on", "1"], ["no", "false", "n"]
    ),
    "boolean, own words": Case({"type": "boolean", "true": ["oui"], "false": ["non"]}, ["oui", "NON ", "yes"], ["non"]),
    "boolean, typed": Case({"type": "boolean", "true": ["oui"], "false": ["non"]}, [True, False, None], [False]),
    "boolean, floats": Case({"type": "boolean"}, [1.0, 0.0, None, 0.5, float("nan")], [0.0]),
    "id": Case({"type": "id"}, ["00017", " 17", "17", "", None, "é"], ["unseen"]),
    "id, whole numbers as floats": Case({"type": "id"}, [17850.0, None, 3.5], [1.0]),
    "text": Case(
        {"type": "text", "max_chars": 60},
        ["Hello, World!", "  ", "", None, "NA", "win $$$ NOW 100%", "東京タワー tower", "x" * 200, *WORDS],
        ["completely different words here", "w " * 5000],
        {"buckets": 64, "max_tokens": 8},
    ),
    "text, triples of CJK characters": Case(
        {"type": "text"}, [*TEXTS, "日本語のテスト한국어 １２ab！"], ["w " * 900],
        {"unit": "cjk", "ngrams": 3, "max_tokens": 4},
    ),
    "text, words in order": Case({"type": "text"}, TEXTS, ["w " * 900], {"kind": "tokens", "min_count": 1}),
    "text, subwords in order": Case(
        {"type": "text"}, [*TEXTS, "x" * 99], ["other words", "y" * 900],
        {"unit": "subword", "kind": "tokens", "min_count": 1, "vocabulary": 60, "max_tokens": 12},
    ),
    "text, subwords in a bag": Case({"type": "text"}, TEXTS, ["other words"], {"unit": "subword", "buckets": 32}),
    "text, bytes": Case({"type": "text"}, [b"caf\xe9", b"NA", b"two words", None], [b"other"]),
    "timestamp": Case(
        {"type": "timestamp"},
        ["2011-12-01T08:26:00", "2011-12-01", "1969-12-31T23:59:59.5", "12/1/2011", None, *DAYS],
        ["9999-12-31T23:59:59", "0001-01-01"],
    ),
    "timestamp, age": Case(
        {"type": "timestamp"}, ["2011-12-01T08:26:00", "1969-12-31", None, *DAYS], ["9999-12-31T23:59:59"],
        {"parts": ["age"]},
    ),
    "timestamp, age at a date": Case(
        {"type": "timestamp"}, ["2011-12-01", "2011-11-30"], ["0001-01-01"],
        {"parts": ["age", "weekday"], "reference": "2011-12-01"},
    ),
    "timestamp, format": Case(
        {"type": "timestamp", "format": "%m/%d/%Y %H:%M", "required": True},
        ["12/1/2010 8:26", " 1/13/2011 23:59 ", "13/1/2011 0:00", "", None, "2011-12-01"],
        ["1/1/1900 0:00"],
    ),
    "timestamp, typed": Case(
        {"type": "timestamp"},
        [datetime(2020, 2, 29, 1, 2, 3, 4), datetime(1950, 1, 1), None, datetime.min, datetime.max],
        [datetime(1, 1, 1)],
    ),
    "timestamp, dates": Case({"type": "timestamp"}, [date(2020, 2, 29), None, date.max], [date.min]),
    "items": Case(
        {"type": "items"},
        [["a", "b", "a"], ["c"], [], None, [" a ", "", None, "NA"], ["e\u0301", "é", "日本", "a\0b", "👍🏽"]],
        [["mauve", "x" * 5000], ["z"] * 400],
    ),
    "items, text": Case(
        {"type": "items", "separator": "|", "max_items": 3, "pattern": "[A-Za-z0-9 ]*"},
        ["a|b|c|d", " a | b", "", "NA", "|||", None, "é|a", "a|NA|b", "a"],
        ["q|" * 50],
    ),
    "items, a set in JSON": Case(
        {"type": "items", "order": "set", "required": True},
        ['["b", "a", "b"]', "[17850, 17850.0, 3.5, true, null]", "[]", "", None, "a", '{"a": 1}', '[["a"]]', "[1"],
        ['["z"]'],
    ),
    "items, numbers in no order": Case(
        {"type": "items", "max_items": 2}, [[1, 2, 3], [2, 2], [None, 7], None], [[2**62]],
        {"kind": "set", "min_count": 2},
    ),
    "items, few": Case({"type": "items"}, [["a", "b"], ["a"], ["c", "a"]], [["c"]], {"max_values": 1}),
    "image": Case(
        {"type": "image", "height": 3, "width": 4, "channels": 1},
        [picture(0), picture(90, "JPEG"), picture(3, "PNG", "RGB"), picture(0)[:60], b"no picture", b"", None],
        [picture(200)],
    ),
    "image, RGB": Case(
        {"type": "image", "height": 6, "width": 5, "required": True},
        [picture(1), picture(2, "GIF"), None],
        [picture(9)],
    ),
    "audio": Case(
        {"type": "audio", "rate": 4000, "seconds": 0.1},
        [
            tone(440), tone(1000, 0.03), tone(300, 0.2, 1.0, 44100, 2), tone(0), compressed("OGG"), compressed("FLAC"),
            tone(440)[:60], compressed("OGG")[:-9], tone(440, 0.0), tone(440, channels=0), b"no sound", b"", None,
        ],
        [tone(1900, 0.1, 1.0), tone(55, 3.0)],
        {"bands": 6, "low_hz": 100},
    ),
    "audio, trimmed and normalised": Case(
        {"type": "audio", "rate": 8000, "seconds": 0.25, "trim": True, "fill": "repeat", "required": True},
        [tone(440), tone(600, 0.5, 0.01), tone(0), compressed("FLAC"), None],
        [tone(3000, 0.1, 1.0)],
        {"normalize": "recording", "bands": 100, "high_hz": 3400},
    ),
}  # fmt: skip
