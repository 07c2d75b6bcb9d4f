"""Pictures in, 64-bit perceptual hashes and groups of pictures that show the same out.

The hash is `imagehash.phash` (Zauner, 2010): grey, 32 × 32, cosine transform, the 8 × 8 lowest frequencies
above or below their median. All pictures of a column have one size, so scaling and transform are two small
matrices for all at once; the bits are the library's but where a value lies within its rounding of the median.

Two pictures are near where at most MAX_BITS of the 64 differ *and* their grey pixels, at no more than
32 × 32, correlate by the limit or more. So a change of brightness or contrast, JPEG or scaling is forgiven;
a crop, a turn or a mirror is not.
A flat picture (spread of grey below FLAT of 255 levels) shows nothing that could be compared: it is near
only those that equal it byte for byte. So black pictures never swallow the nearly black ones.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from stages.duplicates.join import by_keys, candidates, join
from stages.duplicates.rows import hash_values

SIMILARITY = 0.98
MAX_BITS = 4
FLAT = 2.0
SIDE, LOW = 32, 8
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R 601, as Pillow has it
BLOCK = 4_096


def signatures(column: Any, values: pa.Array) -> np.ndarray:
    """uint64 [N, 2]: the hash and 0; of a flat picture a hash of its bytes and 1; 0 and 2 without a picture."""
    rows, columns = lowest_frequencies(column.height), lowest_frequencies(column.width)
    result = np.zeros((len(values), 2), np.uint64)
    for start in range(0, len(values), BLOCK):
        piece = values.slice(start, BLOCK)
        pixels = grey(column, piece)
        waves = (rows @ pixels @ columns.T).reshape(len(pixels), LOW * LOW)
        bits = waves > np.median(waves, axis=1, keepdims=True)
        hashes = np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
        is_flat = pixels.std(axis=(1, 2)) < FLAT
        exact = hash_values(piece.filter(pa.array(is_flat)))[0] if is_flat.any() else np.empty(0, np.uint64)
        hashes[is_flat] = exact
        absent = np.asarray(piece.is_null())
        result[start : start + BLOCK, 0] = np.where(absent, np.uint64(0), hashes)
        result[start : start + BLOCK, 1] = np.where(absent, 2, is_flat)
    return result


def groups(column: Any, signatures: np.ndarray, values: pa.Array, similarity: float) -> np.ndarray:
    """int64 [N]: the first row of each row's group."""
    hashes, kinds = signatures[:, 0], signatures[:, 1]
    found = np.arange(len(values), dtype=np.int64)
    flat = np.flatnonzero(kinds == 1)
    join(found, flat, flat[by_keys(hashes[flat])])
    rows = np.flatnonzero(kinds == 0)
    exact = hash_values(values.take(pa.array(rows)))[0]
    local = by_keys(exact)
    for left, right in candidates(bands(hashes[rows]), local):
        close = np.bitwise_count(hashes[rows[left]] ^ hashes[rows[right]]) <= MAX_BITS
        left, right = left[close], right[close]
        for start in range(0, len(left), BLOCK):
            one, two = left[start : start + BLOCK], right[start : start + BLOCK]
            apart = local[one] != local[two]
            one, two = one[apart], two[apart]
            near = correlation(column, values, rows[one], rows[two]) >= similarity
            join(local, one[near], two[near])
    join(found, rows, rows[local])
    return found


def bands(hashes: np.ndarray) -> np.ndarray:
    """uint64 [N, MAX_BITS + 1]: pieces of the hash; of two within MAX_BITS at least one piece is equal."""
    edges = np.linspace(0, 64, MAX_BITS + 2).astype(int)
    pieces = [hashes >> np.uint64(start) & np.uint64((1 << (end - start)) - 1) for start, end in pairwise(edges)]
    return np.stack(pieces, axis=1)


def correlation(column: Any, values: pa.Array, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """float32 [M]: Pearson's correlation of the grey pixels of each pair."""
    rows, columns = shrink(column.height), shrink(column.width)
    sides = []
    for places in (left, right):
        pixels = (rows @ grey(column, values.take(pa.array(places))) @ columns.T).reshape(len(places), -1)
        pixels = pixels - pixels.mean(1, keepdims=True)
        sides.append(pixels / np.maximum(np.sqrt((pixels**2).sum(1, keepdims=True)), 1e-6))
    return np.asarray((sides[0] * sides[1]).sum(1))


def grey(column: Any, values: pa.Array) -> np.ndarray:
    """float32 [N, H, W] in 0 to 255; black where missing."""
    size = column.height * column.width * column.channels
    filled = values.fill_null(bytes(size))
    raw = np.frombuffer(filled.buffers()[1], np.uint8, len(values) * size, filled.offset * size)
    pixels = raw.reshape(len(values), column.height, column.width, column.channels).astype(np.float32)
    return pixels[..., 0] if column.channels == 1 else pixels @ GREY


def lowest_frequencies(length: int) -> np.ndarray:
    """float32 [8, length]: scaling to 32 pixels, then the lowest frequencies of the cosine transform."""
    from scipy.fft import dct

    return np.asarray(dct(np.eye(SIDE), axis=0)[:LOW] @ scale(length), np.float32)


def shrink(length: int) -> np.ndarray:
    """float32 [at most 32, length]: finer detail than that goes when a copy is scaled or compressed."""
    return scale(length) if length > SIDE else np.eye(length, dtype=np.float32)


def scale(length: int) -> np.ndarray:
    """float32 [32, length]: Pillow's own filter, as what it makes of each unit vector."""
    from PIL import Image

    units = Image.fromarray(np.eye(length, dtype=np.float32))
    return np.asarray(units.resize((SIDE, length), Image.Resampling.LANCZOS)).T
