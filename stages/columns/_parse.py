"""A raw Arrow column in; typed values, and which rows break which rule, out.

Every distinct value goes once through `serving/prepare.py`, the code that serves; where a type has
a vectorised twin of it (`Fast`), only those values that the twin leaves open do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.prepare import parse
from serving.values import Problem

PROBE_ROWS = 1_000
REPEATED = 0.5  # of the probed rows: with more distinct values than this, finding them does not pay


@dataclass(frozen=True)
class Cleaned:
    """`values` [N], null where missing or broken; `broken` maps a rule to a boolean mask [N].

    `clipped` counts the values that were moved to a bound.
    """

    values: pa.Array
    broken: dict[str, np.ndarray]
    clipped: int = 0


# Of each string of an array: typed values, broken rules, and a mask of those that it leaves open.
Fast = Callable[[dict[str, Any], pa.Array], tuple[pa.Array, dict[str, np.ndarray], np.ndarray]]


def parse_distinct(
    description: dict[str, Any],
    values: pa.Array,
    dtype: pa.DataType,
    store: Callable[[Any], Any] = lambda value: value,
    fast: Fast | None = None,
) -> Cleaned:
    """Parse each distinct raw value once and spread the results over the rows.

    `store` turns a parsed value into what Arrow keeps for it. Dictionaries of words stay dictionaries.
    """
    if values.type == pa.string_view():
        values = values.cast(pa.string())
    distinct, codes = find_distinct(values)
    typed, broken, left = parse_texts(description, distinct, dtype, fast)
    if left.any():
        patched, more = parse_each(description, distinct.filter(pa.array(left)), store)
        typed = pc.replace_with_mask(typed, pa.array(left), pa.array(patched, dtype))
        for rule, mask in more.items():
            broken.setdefault(rule, np.zeros(len(distinct), bool))[left] = mask
    absent = np.asarray(values.is_null()) if values.null_count else None
    if pa.types.is_dictionary(values.type) and dtype == pa.string():
        spread = pa.DictionaryArray.from_arrays(values.indices, typed)
        spread = spread if typed.null_count == 0 and not repeats(typed) else spread.cast(dtype).dictionary_encode()
    else:
        spread = typed if codes is None else typed.take(codes)
    rows = {rule: mask if codes is None else spread_mask(mask, codes) for rule, mask in broken.items()}
    if absent is not None and description.get("required"):
        rows["required"] = rows.get("required", np.zeros(len(values), bool)) | absent
    return Cleaned(spread, {rule: mask for rule, mask in sorted(rows.items()) if mask.any()})


def repeats(words: pa.Array) -> bool:
    return bool(pc.count_distinct(words).as_py() < len(words))


def spread_mask(mask: np.ndarray, codes: pa.Array) -> np.ndarray:
    """A mask over distinct values as one over rows; False where the row has no value."""
    if not mask.any():
        return np.zeros(len(codes), bool)
    return np.asarray(pc.fill_null(pa.array(mask).take(codes), False))


def find_distinct(values: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """The values to parse, and for each row which of them it has; None where each row is parsed itself."""
    if pa.types.is_dictionary(values.type):
        return values.dictionary, values.indices
    probe = values.slice(0, PROBE_ROWS)
    if is_text(values.type) and pc.count_distinct(probe).as_py() > REPEATED * len(probe):
        return values, None
    encoded = values.dictionary_encode()
    return encoded.dictionary, encoded.indices


def is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def parse_texts(
    description: dict[str, Any], distinct: pa.Array, dtype: pa.DataType, fast: Fast | None
) -> tuple[pa.Array, dict[str, np.ndarray], np.ndarray]:
    """What the vectorised twin makes of the values; without one, all are left open but the nulls."""
    if fast is not None and is_text(distinct.type):
        return fast(description, distinct.cast(pa.string()))
    return pa.nulls(len(distinct), dtype), {}, np.asarray(distinct.is_valid())


def parse_each(
    description: dict[str, Any], values: pa.Array, store: Callable[[Any], Any]
) -> tuple[list[Any], dict[str, np.ndarray]]:
    """One value after the other, by the code that serves."""
    typed: list[Any] = []
    broken: dict[str, np.ndarray] = {}
    for place, value in enumerate(values.to_pylist()):
        try:
            parsed = parse(description, value)
            typed.append(None if parsed is None else store(parsed))
        except Problem as problem:
            typed.append(None)
            broken.setdefault(problem.rule, np.zeros(len(values), bool))[place] = True
    return typed, broken


def missing_mask(description: dict[str, Any], trimmed: pa.Array) -> np.ndarray:
    """True where a trimmed string is null or a declared spelling of "no value"."""
    spelled = pc.is_in(trimmed, value_set=pa.array(description["missing"], pa.string()))
    return np.asarray(pc.or_(pc.is_null(trimmed), pc.fill_null(spelled, False)))


def spelled_missing(description: dict[str, Any], values: pa.Array, trimmed: pa.Array) -> dict[str, np.ndarray]:
    """The rule "required" for values that spell "no value"; a null is told of by `parse_distinct`."""
    absent = missing_mask(description, trimmed) & np.asarray(values.is_valid())
    return {"required": absent} if description.get("required") else {}
