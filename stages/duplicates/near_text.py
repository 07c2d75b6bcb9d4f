"""Texts in, MinHash signatures and groups of texts that share most of their character trigrams out.

A text is compared by the set of its trigrams (single Chinese characters say as much as words do) after
NFC, case folding, and with each run of white space and marks as one space. Two texts are near where
the Jaccard similarity of their sets is at least the limit; it is computed exactly, on the pairs that
MinHash (Broder, 1997) with banding proposes. The bands are chosen so that a pair right at the limit
is missed about once in ten thousand times, and one above it less often.

At 0.8 one changed character is forgiven from 30 characters on: it costs three trigrams of 28.
"""

import re
import unicodedata
from typing import Any

import numpy as np
import pyarrow as pa

from stages.duplicates.join import candidates, join
from stages.duplicates.rows import mix

SIMILARITY = 0.8
PERMUTATIONS = 128
MAX_MISSED = 1e-4  # of pairs whose similarity is just the limit
MARKS = re.compile(r"[^\w\x00]+|_+")
BLOCK = 1 << 15  # trigrams hashed at once: 256 KiB stay in a core's cache
PAIRS = 1 << 14  # compared at once
EMPTY = np.uint32(0xFFFFFFFF)


def signatures(column: Any, values: pa.Array) -> np.ndarray:
    """uint32 [N, PERMUTATIONS]: the smallest hash of a text's trigrams under each permutation."""
    shingles, sizes = trigrams(values)
    result = np.full((len(values), PERMUTATIONS), EMPTY, np.uint32)
    rows = np.flatnonzero(sizes)
    if not len(rows):
        return result
    starts = (np.cumsum(sizes) - sizes)[rows]
    hashed = mix(shingles.copy())
    generator = np.random.Generator(np.random.PCG64(1997))
    factors = generator.integers(0, 1 << 63, PERMUTATIONS, np.uint64) * np.uint64(2) + np.uint64(1)
    # Multiply-shift (Dietzfelbinger et al., 1997): the upper 32 bits of an odd multiple.
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + BLOCK)))
        end = starts[last] if last < len(starts) else len(hashed)
        piece, offsets = hashed[starts[first] : end], starts[first:last] - starts[first]
        for i, factor in enumerate(factors):
            upper = ((piece * factor) >> np.uint64(32)).astype(np.uint32)
            result[rows[first:last], i] = np.minimum.reduceat(upper, offsets)
        first = last
    return result


def groups(column: Any, signatures: np.ndarray, values: pa.Array, similarity: float) -> np.ndarray:
    """int64 [N]: the first row of each row's group."""
    sets = Sets(*trigrams(values))
    found = np.arange(len(values), dtype=np.int64)
    rows = np.flatnonzero(sets.sizes)
    _, first, places = np.unique(sets.hashes()[rows], axis=0, return_index=True, return_inverse=True)
    join(found, rows, rows[first[places.ravel()]])  # equal sets, without a comparison
    rows = rows[np.sort(first)]
    local = np.arange(len(rows), dtype=np.int64)
    # What the signatures estimate may fall short of the limit by four times its standard error, and no more.
    least = similarity - 4 * np.sqrt(similarity * (1 - similarity) / PERMUTATIONS)
    for left, right in candidates(bands(signatures[rows], similarity), local):
        likely = (signatures[rows[left]] == signatures[rows[right]]).mean(1) >= least
        left, right = left[likely], right[likely]
        for start in range(0, len(left), PAIRS):
            one, two = left[start : start + PAIRS], right[start : start + PAIRS]
            near = sets.jaccard(rows[one], rows[two]) >= similarity
            join(local, one[near], two[near])
    join(found, rows, rows[local])
    return found


def bands(signatures: np.ndarray, similarity: float) -> np.ndarray:
    """uint64 [N, B]: one hash of each band of the signature; near texts agree in at least one."""
    rows = next(
        rows for rows in range(16, 0, -1) if rows == 1 or (1 - similarity**rows) ** (PERMUTATIONS // rows) <= MAX_MISSED
    )
    hashes = np.zeros((len(signatures), PERMUTATIONS // rows), np.uint64)
    for i in range(rows):
        hashes = mix(hashes ^ signatures[:, i : i + rows * hashes.shape[1] : rows])
    return hashes


def trigrams(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """All trigrams of all texts in order, as 3 × 21 bits in a uint64, and how many each text has [N].

    A text of one or two characters is filled up with NULs; one without a letter or digit has none.
    """
    if not len(values):
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    plain = "\x00".join((text or "").replace("\x00", " ") for text in values.to_pylist())
    plain = MARKS.sub(" ", unicodedata.normalize("NFC", plain).casefold())
    texts = plain.split("\x00")
    texts = [text.strip().ljust(3, "\x00") if text.strip() else "" for text in texts]
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    sizes = np.maximum(lengths - 2, 0)
    code = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if not len(code):
        return np.empty(0, np.uint64), sizes
    joined = (code[:-2] << np.uint64(42)) | (code[1:-1] << np.uint64(21)) | code[2:]
    # A trigram that begins at a text's last two characters would reach into the next text.
    ends = np.cumsum(lengths)
    within = np.ones(len(code), bool)
    within[ends[lengths > 0] - 1] = within[ends[lengths > 0] - 2] = False
    return joined[within[:-2]], sizes


class Sets:
    """The distinct trigrams of each text, sorted: `keys` = text · V + trigram's number, so one array holds all."""

    def __init__(self, shingles: np.ndarray, sizes: np.ndarray) -> None:
        words, numbers = np.unique(shingles, return_inverse=True)
        self.width = np.int64(max(len(words), 1))
        texts = np.repeat(np.arange(len(sizes)), sizes)
        keys = np.sort(texts * self.width + numbers)  # np.unique hashes first: 20 times as slow here
        self.keys = keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]
        self.sizes = np.bincount(self.keys // self.width, minlength=len(sizes))
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.words = words

    def hashes(self) -> np.ndarray:
        """uint64 [N, 2]: equal for equal sets; two sums over independently mixed trigrams."""
        lanes = np.zeros((2, len(self.sizes)), np.uint64)
        rows = np.flatnonzero(self.sizes)
        for lane, seed in zip(lanes, (0x243F6A8885A308D3, 0x13198A2E03707344), strict=True):
            mixed = mix(mix(self.words ^ np.uint64(seed)) + np.uint64(seed))
            lane[rows] = np.add.reduceat(mixed[self.keys % self.width], self.starts[rows]) if len(rows) else 0
        return lanes.T

    def jaccard(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """float64 [M]: |A ∩ B| / |A ∪ B| of each pair of texts that have trigrams."""
        swap = self.sizes[left] > self.sizes[right]
        few, many = np.where(swap, right, left), np.where(swap, left, right)
        sizes = self.sizes[few]
        pair = np.repeat(np.arange(len(few)), sizes)
        place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + self.starts[few][pair]
        asked = self.keys[place] % self.width + many[pair] * self.width
        at = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        shared = np.bincount(pair, self.keys[at] == asked, minlength=len(few))
        return np.asarray(shared / (sizes + self.sizes[many] - shared))
