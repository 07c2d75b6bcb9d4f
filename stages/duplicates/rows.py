"""Typed columns in, a 128-bit hash of each row out: the same on every machine and in every version.

Numbers go in by their bits, words by their MD5, lists by their entries and places, all mixed by splitmix64's
finaliser (Steele et al., 2014).
It is no defence against somebody who makes rows collide on purpose.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NULL = 0x9E3779B97F4A7C15
SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))  # digits of pi: any two that differ
MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
FEW = 4_096  # words: below it hashlib is faster than a query
BITS = 20  # of a hash that the first sieve of `among` looks at

Halves = tuple[np.ndarray, np.ndarray]


def hash_rows(table: pa.Table, names: Sequence[str]) -> np.ndarray:
    """uint64 [N, 2]: two independent lanes. A null is a value of its own, equal to other nulls."""
    return np.stack([hash_lane(table, names, lane) for lane in (0, 1)], 1)


def hash_lane(table: pa.Table, names: Sequence[str], lane: int = 0) -> np.ndarray:
    """uint64 [N]: one of the two."""
    hashed = np.full(table.num_rows, SEEDS[lane])
    for name in names:
        column = table.column(name)
        hashed ^= hash_values(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())[lane]
        hashed *= MULTIPLIERS[lane]
        hashed ^= hashed >> np.uint64(32)
    return mix(hashed)


def hash_values(values: pa.Array) -> Halves:
    """Two uint64 [N]; the same one twice where 64 bits hold the value itself."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        blank = np.zeros(1, np.uint64)
        low, high = hash_values(values.dictionary) if len(values.dictionary) else (blank, blank)
        codes = np.asarray(pc.fill_null(values.indices, 0))
        return fill(low[codes], values), fill(high[codes], values)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or is_bytes(kind):
        width = kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0
        low, high = hash_words(
            pc.fill_null(values, bytes(width) if is_bytes(kind) else "") if values.null_count else values
        )
        return fill(low, values), fill(high, values)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        low, high = hash_lists(values)
        return fill(low, values), fill(high, values)
    bits = fill(to_bits(values), values)
    return bits, bits


def hash_lists(values: pa.Array) -> Halves:
    """Of each list the sum of its entries' hashes, each mixed with its place, and its length."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
    ends = np.cumsum(lengths)
    flat = pc.list_flatten(values)
    place = (np.arange(len(flat)) - np.repeat(ends - lengths, lengths)).astype(np.uint64)
    halves = []
    for entries in hash_values(flat):
        mixed = mix(entries ^ mix(place + np.uint64(1)))
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])  # modulo 2^64
        halves.append(mix(sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64)))
    return halves[0], halves[1]


def is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))


def fill(hashed: np.ndarray, values: pa.Array) -> np.ndarray:
    return np.where(np.asarray(values.is_null()), np.uint64(NULL), hashed) if values.null_count else hashed


def to_bits(values: pa.Array) -> np.ndarray:
    """Numbers, times and booleans as the 64 bits of their double or int64."""
    if pa.types.is_boolean(values.type):
        return np.asarray(pc.fill_null(values, False)).astype(np.uint64)
    if pa.types.is_floating(values.type):
        plain = np.asarray(pc.fill_null(pc.cast(values, pa.float64()), 0.0)) + 0.0  # -0.0 is 0.0
        return np.asarray(plain.view(np.uint64))
    whole = pc.cast(values, pa.int64())
    return np.asarray(pc.fill_null(whole, 0) if whole.null_count else whole).view(np.uint64)


def hash_words(words: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The two halves of each word's MD5. Of many words DuckDB takes it, which needs no Python object for each."""
    if is_bytes(words.type) or len(words) < FEW:
        plain = (word if isinstance(word, bytes) else word.encode() for word in words.to_pylist())
        digests = b"".join(hashlib.md5(word, usedforsecurity=False).digest() for word in plain)
        halves = np.frombuffer(digests, "<u8").reshape(-1, 2)
    else:
        hashed = md5_numbers(words)
        halves = np.frombuffer(hashed.buffers()[1], np.uint64, 2 * len(words)).reshape(-1, 2)
    return halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64)


def md5_numbers(words: pa.Array) -> pa.Array:
    """128-bit integers, the least significant byte first."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("words", pa.table({"word": words}))
        numbers = connection.sql("SELECT md5_number(word) AS number FROM words").to_arrow_table()
    return numbers.column("number").combine_chunks()


def mix(bits: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser, in place: each bit of the result depends on each bit of its input."""
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits


def repeated(lane: np.ndarray) -> np.ndarray:
    """The sorted values that stand more than once. Sorts `lane` in place: 8 bytes a row, and no more."""
    lane.sort()
    return np.unique(lane[1:][lane[1:] == lane[:-1]])


def among(lane: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """The places [M] of the values of `lane` that are among `ordered`, which is sorted."""
    sieve = np.zeros(1 << BITS, bool)
    sieve[ordered >> np.uint64(64 - BITS)] = True
    maybe = np.flatnonzero(sieve[lane >> np.uint64(64 - BITS)]) if len(ordered) else np.empty(0, np.int64)
    found = lane[maybe]
    return np.asarray(maybe[ordered[np.minimum(np.searchsorted(ordered, found), max(len(ordered) - 1, 0))] == found])


@dataclass(frozen=True)
class Keys:
    """The keys of one part's rows: lane 0 of each, and lane 1 of the few rows that are asked for."""

    first: np.ndarray
    second: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Twins:
    """The rows of several parts that are not alone, by equal keys: `group` is 0, 0, 1, 1, 1, … in order of the keys.

    Within a group they stand in the order of the table. `part` and `row` say where each is.
    """

    group: np.ndarray
    part: np.ndarray
    row: np.ndarray

    def later(self) -> np.ndarray:
        """True for each but the first of its group."""
        return np.concatenate([np.zeros(min(1, len(self.group)), bool), self.group[1:] == self.group[:-1]])

    def earlier(self) -> np.ndarray:
        """True for each but the last of its group."""
        return np.concatenate([self.group[1:] == self.group[:-1], np.zeros(min(1, len(self.group)), bool)])


def gather(load: Callable[[int], Keys], sizes: Sequence[int]) -> np.ndarray:
    """Lane 0 of all parts, in one array."""
    lane, end = np.empty(sum(sizes), np.uint64), 0
    for part, size in enumerate(sizes):
        lane[end : end + size] = load(part).first
        end += size
    return lane


def find_twins(load: Callable[[int], Keys], sizes: Sequence[int]) -> Twins:
    """`load(part)` gives the keys of one part, which has so many rows.

    Memory: 8 bytes a row, one part's keys besides, and 40 bytes a row that is not alone.
    """
    twice = repeated(gather(load, sizes))
    firsts, seconds = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    parts, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for part in range(len(sizes) if len(twice) else 0):
        keys = load(part)
        found = among(keys.first, twice)
        firsts.append(keys.first[found])
        seconds.append(keys.second(found) if len(found) else np.empty(0, np.uint64))
        parts.append(np.full(len(found), part))
        rows.append(found)
    key = np.stack([np.concatenate(firsts), np.concatenate(seconds)])
    order = np.lexsort((np.arange(key.shape[1]), key[1], key[0]))
    key = key[:, order]
    starts = np.concatenate([np.ones(min(1, len(order)), bool), (key[:, 1:] != key[:, :-1]).any(0)])
    group = np.cumsum(starts) - 1
    alone = np.bincount(group, minlength=1)[group] == 1 if len(group) else np.zeros(0, bool)  # the other lane differs
    _, group = np.unique(group[~alone], return_inverse=True)
    return Twins(group, np.concatenate(parts)[order][~alone], np.concatenate(rows)[order][~alone])
