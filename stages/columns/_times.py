"""Written times in, seconds since 1970 out: the vectorised twin of `serving/values.py` for plain formats."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.values import SPACE
from stages.columns._parse import missing_mask, spelled_missing

ISO = (
    r"^(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    r"(?:[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})(?:\.[0-9]{3}(?:[0-9]{3})?)?)?)?$"
)
DIRECTIVES = {"Y": "[0-9]{4}", **dict.fromkeys("mdHMS", "[0-9]{1,2}")}
LIMITS = {"Y": (1, 9999), "m": (1, 12), "d": (1, 31), "H": (0, 23), "M": (0, 59), "S": (0, 59)}


def to_regex(written: str | list[str] | None) -> str | None:
    """A regular expression for a strptime format, or None for one that only strptime understands."""
    if written is None:
        return ISO
    if not isinstance(written, str):
        return None
    pieces = re.split(r"%(.)", written)
    names, between = pieces[1::2], pieces[::2]
    if len(set(names)) < len(names) or not set(names) <= set(DIRECTIVES) or not set("Ymd") <= set(names):
        return None
    if any(not text or re.search(r"[0-9\s]", text.strip(" ")) for text in between[1:-1]) or between[0] or between[-1]:
        return None
    fields = [f"(?P<{name}>{DIRECTIVES[name]})" for name in names]
    marks = [r"\s+" if not text.strip(" ") else "".join(map(quote, text)) for text in between[1:-1]]
    return "^" + "".join(field + mark for field, mark in zip(fields, [*marks, ""], strict=True)) + "$"


def quote(mark: str) -> str:
    return r"\s+" if mark == " " else rf"\x{{{ord(mark):X}}}"


def parse_times(description: dict[str, Any], values: pa.Array) -> tuple[pa.Array, dict[str, np.ndarray], np.ndarray]:
    """timestamp[us] [N]. What is no plain sound time is left to the code that serves, and to its errors."""
    trimmed = pc.utf8_trim(values, SPACE)
    absent = missing_mask(description, trimmed)
    broken = spelled_missing(description, values, trimmed)
    pattern = to_regex(description.get("format"))
    if pattern is None or description.get("zone") or description.get("epoch"):
        return pa.nulls(len(values), pa.timestamp("us")), broken, ~absent
    fields = pc.extract_regex(trimmed, pattern)
    sound = np.asarray(fields.is_valid()) & ~absent
    names = [field.name for field in fields.type]
    parts = {name: to_integers(fields.field(name), sound) for name in names}
    for name, part in parts.items():
        sound &= (part >= LIMITS[name][0]) & (part <= LIMITS[name][1])
    months = (np.where(sound, parts["Y"], 1970) - 1970).astype("M8[Y]").astype("M8[M]") + np.where(
        sound, parts["m"] - 1, 0
    )
    days = months.astype("M8[D]") + np.where(sound, parts["d"] - 1, 0)
    sound &= days.astype("M8[M]") == months  # no 30 February
    seconds = days.astype("M8[s]").astype(np.int64)
    for name, weight in (("H", 3600), ("M", 60), ("S", 1)):
        seconds += np.where(sound, parts[name], 0) * weight if name in parts else 0
    return pa.array(seconds * 1_000_000, mask=~sound).cast(pa.timestamp("us")), broken, ~sound & ~absent


def to_integers(digits: pa.Array, sound: np.ndarray) -> np.ndarray:
    """int64 [N]; 0 where there is nothing."""
    plain = pc.if_else(pc.and_(pa.array(sound), pc.not_equal(digits, "")), digits, "0")
    return np.asarray(pc.cast(pc.fill_null(plain, "0"), pa.int64()))
