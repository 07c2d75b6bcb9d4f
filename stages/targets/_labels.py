"""Labelled examples in; labels as words or shares, and the weights of rows, out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from stages.core.errors import DataError

TOLERANCE = 1e-3  # by which shares may miss a sum of 1


def word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def numbers(table: pa.Table, column: str) -> np.ndarray:
    """float64 [N], NaN where missing."""
    return np.asarray(table.column(column).to_numpy(), np.float64)


def soft_labels(soft: list[str] | Mapping[str, str], column: str, table: pa.Table) -> np.ndarray:
    """float64 [N, C]: the share of each class. Raises DataError where shares are none, or do not add up to 1."""
    if isinstance(soft, Mapping):
        shares = np.stack([numbers(table, name) for name in soft.values()], 1)
        names = ", ".join(soft.values())
    else:
        second = numbers(table, column)
        shares, names = np.stack([1.0 - second, second], 1), column
    wrong = ~((shares >= 0).all(1) & (shares <= 1).all(1) & (np.abs(shares.sum(1) - 1) <= TOLERANCE))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{names}: {int(wrong.sum()):,} of {len(wrong):,} rows hold no shares of the classes, such as row "
            f"{row + 1} with {np.round(shares[row], 4).tolist()}; expected numbers in 0 … 1 that add up to 1. "
            "Mend the source, or give the columns min: 0, max: 1 and required: true"
        )
    return shares / shares.sum(1, keepdims=True) if len(shares) else shares


def weights_of(state: Mapping[str, Any], table: pa.Table) -> dict[str, np.ndarray]:
    """`weight` float32 [N] where one is declared; a row without one counts nothing. Raises DataError below 0."""
    if not state.get("weight"):
        return {}
    found = np.nan_to_num(numbers(table, state["weight"]), nan=0.0)
    if (found < 0).any() or (len(found) and not found.any()):
        raise DataError(
            f"{state['weight']} is the weight of rows, and is {found.min():g} … {found.max():g}; expected numbers of "
            f"0 and more, not all 0. Give the column min: 0, or leave examples.target.weight out"
        )
    return {"weight": found.astype(np.float32)}
