"""A raw Arrow column in; typed values, and which rows break which rule, out.

Every distinct value goes once through `serving/prepare.py`, the code that serves.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.prepare import Problem, parse


@dataclass(frozen=True)
class Cleaned:
    """`values` [N], null where missing or broken; `broken` maps a rule to a boolean mask [N]."""

    values: pa.Array
    broken: dict[str, np.ndarray]


def parse_distinct(
    description: dict[str, Any], values: pa.Array, dtype: pa.DataType, store: Callable[[Any], Any] = lambda value: value
) -> Cleaned:
    """Parse each distinct raw value once and spread the results over the rows.

    `store` turns a parsed value into what Arrow keeps for it.
    """
    encoded = values.dictionary_encode()
    distinct = [*encoded.dictionary.to_pylist(), None]
    codes = encoded.indices.fill_null(len(distinct) - 1).to_numpy(zero_copy_only=False)
    typed: list[Any] = []
    rules: list[str] = []
    for value in distinct:
        try:
            parsed = parse(description, value)
            typed.append(None if parsed is None else store(parsed))
            rules.append("")
        except Problem as problem:
            typed.append(None)
            rules.append(problem.rule)
    names = np.array(rules, object)
    broken = {rule: (names == rule)[codes] for rule in sorted(set(rules) - {""})}
    return Cleaned(
        pa.array(typed, dtype).take(pa.array(codes)), {rule: mask for rule, mask in broken.items() if mask.any()}
    )


def missing_mask(description: dict[str, Any], trimmed: pa.Array) -> np.ndarray:
    """True where a trimmed string is null or a declared spelling of "no value"."""
    spelled = pc.is_in(trimmed, value_set=pa.array(description["missing"], pa.string()))
    return np.asarray(pc.or_(pc.is_null(trimmed), pc.fill_null(spelled, False)))
