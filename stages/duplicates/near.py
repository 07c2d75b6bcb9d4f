"""Texts or pictures in, a compact signature of each and the groups of near duplicates among them out.

    signatures(column, values)                      → [N, P], may be kept part by part and concatenated
    groups(column, signatures, values, similarity)  → int64 [N]: the row that is each row's first near duplicate

Which pairs are compared at all is decided by the signatures, whether they are near by the values
themselves; how is said in `near_text` and `near_image`. Near is passed on: where A is near B and B
near C, all three share a group, even if A is not near C. A row that is near none is its own group,
and so is a row without a value. The same values in the same order always give the same groups.
"""

from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from stages.core.errors import ContractError

TYPES = ("text", "image")


def module_of(column: Any, path: str = "near duplicates") -> ModuleType:
    """What compares values of the column's type. Raises ContractError where nothing does."""
    if column.type not in TYPES:
        raise ContractError(
            f"{path}: a column of type {column.type} has no near duplicates; expected one of type {' or '.join(TYPES)}"
        )
    return import_module(f"stages.duplicates.near_{column.type}")


def signatures(column: Any, values: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Unsigned integers [N, P] of a typed column's values."""
    found: np.ndarray = module_of(column).signatures(column, whole(values))
    return found


def groups(
    column: Any, signatures: np.ndarray, values: pa.Array | pa.ChunkedArray, similarity: float | None = None
) -> np.ndarray:
    """int64 [N]: the first row of each row's group; `similarity` from 0 to 1, or what suits the column's type."""
    module, values = module_of(column), whole(values)
    assert len(signatures) == len(values), "each value has one signature"
    limit = module.SIMILARITY if similarity is None else similarity
    found: np.ndarray = module.groups(column, signatures, values, limit)
    return found


def whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
