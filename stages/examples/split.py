"""Rows in; for each its side (train, validation, test) and its group out, by a stable hash."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.core.errors import DataError


def assign(table: pa.Table, settings: Any, inputs: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sides [N] as words, groups [N] as int64. Rows with equal keys get the same group and side.

    The key is `settings.keys`, or else all model inputs: equal rows then never part.
    """
    groups = hash_rows(table, settings.keys or inputs)
    positions = uniform(groups, settings.seed)
    if settings.by != "official":
        bounds = (settings.test, settings.test + settings.validation)
        return np.select([positions < bounds[0], positions < bounds[1]], ["test", "validation"], "train"), groups
    official = table.column(settings.column)
    found = set(pc.unique(official).to_pylist())
    if found != {"train", "test"}:
        raise DataError(
            f"examples.split.column {settings.column} holds {sorted(map(str, found))}; expected train and test"
        )
    test = np.asarray(pc.equal(official, "test"))
    return np.where(test, "test", np.where(positions < settings.validation, "validation", "train")), groups


def hash_rows(table: pa.Table, names: list[str]) -> np.ndarray:
    """int64 [N]: a hash of each row's values in `names`."""
    columns = [table.column(name).to_pylist() for name in names]
    digests = b"".join(
        hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for row in zip(*columns, strict=True)
    )
    return np.frombuffer(digests, np.int64)


def uniform(groups: np.ndarray, seed: int) -> np.ndarray:
    """Each group's place in [0, 1): splitmix64 of the hash and the seed, its upper 53 bits."""
    with np.errstate(over="ignore"):
        mixed = groups.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(1 << 53))
