"""Written numbers in, float64 out: the vectorised twin of `serving/values.py`, locale and units included."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.values import NUMBER, SPACE
from stages.columns._parse import missing_mask, spelled_missing


def parse_numbers(description: dict[str, Any], values: pa.Array) -> tuple[pa.Array, dict[str, np.ndarray], np.ndarray]:
    """float64 [N]. What is no plain sound number within its bounds is left to the code that serves."""
    trimmed = pc.utf8_trim(values, SPACE)
    absent = missing_mask(description, trimmed)
    text, factors = to_plain(description, trimmed)
    matches = np.asarray(pc.fill_null(pc.match_substring_regex(text, f"^(?:{NUMBER.pattern})$"), False)) & ~absent
    far = pc.or_(pc.match_substring_regex(text, "[eE][+-]?[0-9]{3}"), pc.greater(pc.utf8_length(text), 300))
    plausible = matches & ~np.asarray(pc.fill_null(far, False))  # 1e999 is a number for the regex, not for a float
    unsigned = pc.if_else(
        pa.array(plausible), pc.replace_substring_regex(text, r"^\+", ""), pa.scalar(None, pa.string())
    )
    plain = np.asarray(pc.fill_null(pc.cast(unsigned, pa.float64()), np.nan)) * factors + 0.0
    sound = plausible & np.isfinite(plain)
    if description.get("clip"):
        plain = np.clip(plain, description.get("min"), description.get("max"))
    if description.get("min") is not None:
        sound &= plain >= description["min"]
    if description.get("max") is not None:
        sound &= plain <= description["max"]
    return pa.array(plain, mask=~sound), spelled_missing(description, values, trimmed), ~sound & ~absent


def to_plain(description: dict[str, Any], text: pa.Array) -> tuple[pa.Array, np.ndarray | float]:
    """Twin of `values.to_plain`: units taken off, marks of the locale replaced; and each value's factor."""
    factors: np.ndarray | float = 1.0
    if units := description.get("units"):
        factors = np.ones(len(text))
        free = np.ones(len(text), bool)
        for unit in sorted(units, key=lambda unit: (-len(unit), unit)):
            behind = pc.ends_with(text, unit)
            here = free & np.asarray(pc.fill_null(pc.or_(behind, pc.starts_with(text, unit)), False))
            without = pc.if_else(
                behind,
                pc.replace_substring_regex(text, rf"\Q{unit}\E$", ""),
                pc.replace_substring_regex(text, rf"^\Q{unit}\E", ""),
            )
            text = pc.if_else(pa.array(here), pc.utf8_trim(without, SPACE), text)
            factors[here] = units[unit]
            free &= ~here
    mark, decimal = description.get("thousands"), description.get("decimal", ".")
    if mark:
        groups = rf"^[+-]?[0-9]{{1,3}}({re.escape(mark)}[0-9]{{3}})+({re.escape(decimal)}[0-9]*)?$"
        grouped = pc.fill_null(pc.match_substring_regex(text, groups.replace("\\ ", " ")), False)
        text = pc.if_else(grouped, pc.replace_substring(text, mark, ""), text)
    if decimal != ".":
        text = pc.replace_substring(pc.replace_substring(text, ".", "?"), decimal, ".")
    return text, factors
