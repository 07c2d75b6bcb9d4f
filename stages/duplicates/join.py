"""Pairs of rows in, the groups that they join into out: each is named by its first row."""

from collections.abc import Iterator

import numpy as np


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

    The caller joins what it finds similar before it takes the next pairs: so a bucket of a thousand near
    copies costs a thousand comparisons and not half a million.
    """
    for key in keys.T:
        order = np.argsort(key, kind="stable")
        _, start, sizes = np.unique(key[order], return_index=True, return_counts=True)
        size = np.repeat(sizes, sizes)
        place = np.arange(len(key)) - np.repeat(start, sizes)
        open_rows = np.flatnonzero(size > 1)
        step = 0
        while len(open_rows):
            step += 1
            open_rows = open_rows[place[open_rows] + step < size[open_rows]]
            left, right = order[open_rows], order[open_rows + step]
            apart = groups[left] != groups[right]
            if apart.any():
                yield np.minimum(left[apart], right[apart]), np.maximum(left[apart], right[apart])
            open_rows = unfinished(open_rows, order, groups, start, sizes)


def unfinished(
    open_rows: np.ndarray, order: np.ndarray, groups: np.ndarray, start: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Those of `open_rows` (places in `order`) whose bucket still holds more than one group."""
    several = start[sizes > 1]
    if not len(several) or not len(open_rows):
        return open_rows[:0]
    ordered = groups[order]
    lowest, highest = np.minimum.reduceat(ordered, start), np.maximum.reduceat(ordered, start)
    mixed = np.repeat(lowest != highest, sizes)
    return np.asarray(open_rows[mixed[open_rows]])
