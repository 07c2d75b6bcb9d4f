"""Strings in, words or texts as `serving/values.py` makes them out; vectorised for ASCII, where NFC changes nothing."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.values import SPACE
from stages.columns._parse import missing_mask, spelled_missing

Parsed = tuple[pa.Array, dict[str, np.ndarray], np.ndarray]


def parse_words(description: dict[str, Any], values: pa.Array) -> Parsed:
    """Twin of `values.parse_word`: trimmed, its pattern matched, aliases replaced."""
    left = np.asarray(pc.invert(pc.fill_null(pc.string_is_ascii(values), True)))
    trimmed = pc.utf8_trim(values, SPACE)
    present = ~missing_mask(description, trimmed) & ~left
    broken = spelled_missing(description, values, trimmed)
    if description.get("pattern"):
        found = full_match(description["pattern"], trimmed)
        broken["pattern"] = present & ~found
        present &= found
    if description.get("values"):
        aliases = {alias: name for name, names in description["values"].items() for alias in (name, *names)}
        places = pc.index_in(trimmed, value_set=pa.array(list(aliases), pa.string()))
        known = np.asarray(places.is_valid())
        trimmed = pa.array(list(aliases.values()), pa.string()).take(places)
        broken["values"] = present & ~known
        present &= known
    words = pc.if_else(pa.array(present), trimmed, pa.scalar(None, pa.string()))
    return words, broken, left


def full_match(pattern: str, words: pa.Array) -> np.ndarray:
    """Where a whole ASCII word matches. By RE2 where it means the same as Python's `re`, which is most everywhere."""
    if not re.search(r"\\[^dDwWbB.\-+*?()\[\]{}|^$/]|\[\[?:|\(\?[^:]|[^\x20-\x7e]", pattern):
        try:
            return np.asarray(pc.fill_null(pc.match_substring_regex(words, f"^(?:{pattern})$"), False))
        except pa.ArrowInvalid:
            pass
    matches = re.compile(pattern).fullmatch
    return np.array([word is not None and matches(word) is not None for word in words.to_pylist()], bool)


def parse_text(description: dict[str, Any], values: pa.Array) -> Parsed:
    """Twin of `values.parse_text` where nothing is to be removed."""
    ascii_only = np.asarray(pc.fill_null(pc.string_is_ascii(values), True))
    left = np.zeros(len(values), bool) if not description.get("remove") else np.asarray(values.is_valid())
    left |= ~ascii_only
    trimmed = pc.utf8_trim(values, SPACE)
    present = ~missing_mask(description, trimmed) & ~left
    broken = spelled_missing(description, values, trimmed)
    text = pc.utf8_trim(pc.replace_substring(values, "\x00", " "), SPACE)
    text = pc.utf8_rtrim(pc.utf8_slice_codeunits(text, 0, description["max_chars"]), SPACE)
    emptied = present & missing_mask(description, text)  # a spelling of "no value" that showed only now
    if description.get("required"):
        broken["required"] = broken["required"] | emptied
    return pc.if_else(pa.array(present & ~emptied), text, pa.scalar(None, pa.string())), broken, left
