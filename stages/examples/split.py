"""Rows in; for each its side (train, validation, test) and its group out.

A group's place in [0, 1) is a stable hash of its key, so rows that are added move nobody; only `stratified`,
and `time` by shares, look at the other rows and may move them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.core.errors import DataError
from stages.duplicates import rows

SIDES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = 0, 1, 2
LEFT_OUT = -1
DAY = 86_400_000_000  # microseconds


def assign(
    table: pa.Table, settings: Any, groups: np.ndarray, *, target: str, time: str | None = None, horizon_days: int = 0
) -> np.ndarray:
    """int8 [N]: the place of each row's side in SIDES, or LEFT_OUT. `groups` int64 [N] never part."""
    places = uniform(groups, settings.seed)
    if settings.by == "time":
        assert time is not None, "checked by settings"
        gap = horizon_days if settings.gap_days is None else settings.gap_days
        sides = by_time(table.column(time), settings, gap, name=time)
        # With a key the hash says on which side a group may stand, and the time which of its rows do.
        return np.where(by_place(places, settings) == sides, sides, LEFT_OUT) if settings.keys else sides
    if settings.by == "stratified":
        sides = stratified(groups, places, classes(table.column(target)), settings)
        return with_test_rows(sides, table, groups, settings.test_where)
    if settings.by != "official":
        return with_test_rows(by_place(places, settings), table, groups, settings.test_where)
    official = table.column(settings.column)
    found = set(pc.unique(official).to_pylist())
    if found not in ({"train", "test"}, set(SIDES)):
        raise DataError(
            f"examples.split.column {settings.column} holds {sorted(map(str, found))}; expected train and test, and "
            "validation where it is not to be drawn from train"
        )
    named = "validation" in found
    drawn = np.asarray(pc.equal(official, "validation")) if named else places < settings.validation
    sides = np.where(drawn, VALIDATION, TRAIN).astype(np.int8)
    sides[np.asarray(pc.equal(official, "test"))] = TEST
    return sides


def with_test_rows(sides: np.ndarray, table: pa.Table, groups: np.ndarray, wanted: Mapping[str, str]) -> np.ndarray:
    """The same, but each group is test that has a row with one of the wanted values."""
    found = sides.copy()
    for name, value in wanted.items():
        column = pc.cast(table.column(name), pa.string())
        rows = np.asarray(pc.fill_null(pc.equal(column, value), False))
        if not rows.any():
            known = ", ".join(sorted(str(word) for word in pc.unique(column).to_pylist())[:20])
            raise DataError(
                f"examples.split.test_where asks for rows whose {name} is {value!r}, and there is none. Found: {known}"
            )
        found[np.isin(groups, groups[rows])] = TEST
    return found


def by_place(places: np.ndarray, settings: Any) -> np.ndarray:
    """int8 [N]: test below the test share, then validation, then train."""
    test, validation = settings.test, settings.test + settings.validation
    return np.select([places < test, places < validation], [TEST, VALIDATION], TRAIN).astype(np.int8)


def by_time(column: pa.ChunkedArray, settings: Any, gap_days: int, *, name: str) -> np.ndarray:
    """int8 [N]: the newest rows are the test, those before them validation. Equal times never part.

    A row whose time plus the gap reaches past the next side's first moment is left out: its label may know
    what happened there.
    """
    if column.null_count:
        raise DataError(
            f"{name} has no value in {column.null_count:,} of {len(column):,} rows, which by: time cannot place. "
            f"Declare {name} as required: true, or split by something else"
        )
    times = np.asarray(pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())).astype(np.int64)
    sides = np.full(len(times), TRAIN, np.int8)
    test_from = microseconds(settings.test_from) if settings.test_from else newest(times, settings.test)
    sides[times >= test_from] = TEST
    before = times[times < test_from]
    early = before[before <= test_from - gap_days * DAY] if settings.test else before
    share = settings.validation / (1 - settings.test)
    validation_from = microseconds(settings.validation_from) if settings.validation_from else newest(early, share)
    is_validation = (times >= validation_from) & (times < test_from)
    sides[is_validation] = VALIDATION
    gap = gap_days * DAY
    has_test = len(before) < len(times)
    sides[is_validation & has_test & (times > test_from - gap)] = LEFT_OUT
    sides[(times < validation_from) & (times > validation_from - gap)] = LEFT_OUT
    return sides


def newest(times: np.ndarray, share: float) -> int:
    """The moment from which at least `share` of the rows count, and none of their equals is cut off."""
    count = int(np.ceil(share * len(times)))
    if not count:
        return int(times.max()) + 1 if len(times) else 0
    return int(np.partition(times, len(times) - count)[len(times) - count])


def microseconds(moment: datetime) -> int:
    return int(np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64))


def stratified(groups: np.ndarray, places: np.ndarray, labels: np.ndarray, settings: Any) -> np.ndarray:
    """int8 [N]: in each class of `labels` int [N] the groups with the lowest places, up to the shares of its rows.

    A group counts as of its first row's class. Adding rows shifts the shares, so it may move others.
    """
    _, first, codes, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    kinds = labels[first]
    order = np.lexsort((groups[first], places[first], kinds))
    sorted_sizes, sorted_kinds = sizes[order], kinds[order]
    ends = np.cumsum(sorted_sizes)
    totals = np.bincount(sorted_kinds, sorted_sizes)
    before = (np.cumsum(totals) - totals)[sorted_kinds]
    middle = (ends - sorted_sizes / 2 - before) / totals[sorted_kinds]  # of the group's rows in its class
    sides = np.empty(len(first), np.int8)
    sides[order] = by_place(middle, settings)
    return sides[codes]


def classes(column: pa.ChunkedArray) -> np.ndarray:
    """int [N]: which class a label is; of a number, which tenth of the rows it stands in."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        values = np.asarray(column).astype(np.float64)
        return np.searchsorted(np.quantile(values, np.arange(1, 10) / 10), values) if len(values) else np.empty(0, int)
    return np.asarray(column.combine_chunks().dictionary_encode().indices).astype(np.int64)


def hash_rows(table: pa.Table, names: list[str]) -> np.ndarray:
    """int64 [N]: a hash of each row's values in `names`; two of 3 million rows share one once in 4 million tables."""
    return rows.hash_lane(table, names).view(np.int64)


def uniform(groups: np.ndarray, seed: int) -> np.ndarray:
    """Each group's place in [0, 1): splitmix64 of the hash and the seed, its upper 53 bits."""
    with np.errstate(over="ignore"):
        mixed = rows.mix(groups.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15))
    return np.asarray((mixed >> np.uint64(11)) / float(1 << 53))
