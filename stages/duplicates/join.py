"""Pairs of rows in, the groups that they join into out: each is named by its first row."""

from collections.abc import Iterator

import numpy as np

BLOCK = 1 << 16  # pairs handed out at once


def join(groups: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Make the groups of `left[i]` and `right[i]` one, in place; a group's number is its smallest row.

    Every number hooks onto the smaller of its two neighbours, then paths are halved, until nothing moves
    (Shiloach and Vishkin, 1982): a few passes of numpy, whatever the chains look like.
    """
    while len(left):
        first, second = groups[left], groups[right]
        apart = first != second
        left, right, first, second = left[apart], right[apart], first[apart], second[apart]
        np.minimum.at(groups, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(shorter := groups[groups], groups):
            groups[:] = shorter


def by_keys(*keys: np.ndarray) -> np.ndarray:
    """int64 [N]: rows that share a value in any of `keys` [N], directly or through others, share a group."""
    groups = np.arange(len(keys[0]), dtype=np.int64)
    for key in keys:
        _, first, places = np.unique(key, return_index=True, return_inverse=True)
        join(groups, groups.copy(), first[places])
    return groups


def candidates(keys: np.ndarray, groups: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows with an equal key in some column of `keys` [N, B], leaving out those whose groups are one already.

    The caller joins what it finds similar before it takes the next pairs, which come by the BLOCK: so a bucket
    of a hundred thousand near copies costs a few comparisons a row, and not fifty thousand.
    """
    for key in keys.T:
        order = np.argsort(key, kind="stable")
        _, start, sizes = np.unique(key[order], return_index=True, return_counts=True)
        last = np.repeat(start + sizes, sizes) - 1
        rows = np.flatnonzero(last > np.arange(len(key)))  # places in `order`
        waiting: list[np.ndarray] = []
        step = 0
        while len(rows):
            step += 1
            rows = rows[rows + step <= last[rows]]
            waiting.append(np.stack([order[rows], order[rows + step]]))
            if len(rows) and sum(pairs.shape[1] for pairs in waiting) < BLOCK:
                continue
            left, right = np.concatenate(waiting, axis=1)
            apart = groups[left] != groups[right]
            waiting = []
            if apart.any():
                yield np.minimum(left[apart], right[apart]), np.maximum(left[apart], right[apart])
            rows = rows[unfinished(groups[order], start, sizes)[rows]]


def unfinished(groups: np.ndarray, start: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """bool [N]: whether a row's bucket, of consecutive rows, still holds more than one group."""
    mixed = np.minimum.reduceat(groups, start) != np.maximum.reduceat(groups, start)
    return np.asarray(np.repeat(mixed, sizes))
