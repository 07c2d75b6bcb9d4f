"""A query and records in, what it read that nobody could know out: proved by taking those records away.

For each date the query runs again without the records from that date on: all columns but the target must
stay equal, bit by bit, and so must the set of rows. It runs a third time without the records from the
end of the labels' horizon on: then the target must stay equal too, which is what a split by time relies on.
What a record written before the date tells of later times (a status that was changed afterwards) is beyond
this test: it sees only when a record is of.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.core.errors import DataError
from stages.duplicates.rows import hash_lane, hash_rows
from stages.examples.derive import run

LISTED = 5


def reasons(query: Path, records: pa.Table, derived: pa.Table, as_of: datetime, names: Any) -> list[str]:
    """What speaks against `derived`, the query's rows at `as_of`; empty where nothing does.

    `names` gives `time` (of a record), `target`, `ids` (of a derived row), those `shown`, what is `personal`, and
    `horizon_days`.
    """
    found = []
    features = [name for name in derived.column_names if name != names.target]
    times = pc.cast(pc.cast(records.column(names.time), pa.timestamp("us"), safe=False), pa.int64())
    horizon = as_of + timedelta(days=names.horizon_days)
    for end, columns, told in [
        (as_of, features, "looks into the future"),
        (horizon, derived.column_names, f"looks more than {names.horizon_days} days past its date"),
    ]:
        limit = pa.scalar(int(np.datetime64(end, "us").astype(np.int64)))
        later = pc.fill_null(pc.greater_equal(times, limit), False)
        if not pc.any(later).as_py():
            continue
        try:
            again = run(query, {"records": records.filter(pc.invert(later))}, as_of, personal=names.personal)
        except DataError as error:
            found.append(f"{query.name} {told}: without the records from {end:%Y-%m-%d} on it fails: {error}")
            continue
        ids = [name for name in names.ids if name in columns and name in again.column_names]
        if changed := differences(derived.select(columns), again.select(columns), ids, names.shown):
            found.append(
                f"{query.name} {told}: at {as_of:%Y-%m-%d}, without the records from {end:%Y-%m-%d} on, "
                f"{'; '.join(changed)}. Mend the query: "
                + (
                    f"all columns but {names.target} may read only records before $as_of"
                    if end == as_of
                    else f"{names.target} may read only the {names.horizon_days} days from $as_of on, or raise "
                    "examples.as_of.days_before_end and horizon_days"
                )
            )
    return found


def differences(before: pa.Table, after: pa.Table, ids: Sequence[str], shown: Sequence[str]) -> list[str]:
    """How two tables differ, in words. Their order does not count: rows are matched by `ids` where these are unique."""
    one, two = (np.sort(hash_lane(table, before.column_names)) for table in (before, after))
    if np.array_equal(one, two):
        return []
    one, two = (hash_lane(table, ids) for table in (before, after))
    if not ids or len(np.unique(one)) < len(one) or len(np.unique(two)) < len(two):
        if before.num_rows != after.num_rows:
            return [f"there are {after.num_rows:,} rows instead of {before.num_rows:,}"]
        return unmatched(before, after)
    shared, left, right = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    lost, new = len(one) - len(shared), len(two) - len(shared)
    words = [f"{lost:,} rows are gone and {new:,} are new"] if lost or new else []
    order = np.argsort(left)
    return words + changes(before.take(pa.array(left[order])), after.take(pa.array(right[order])), shown)


def unmatched(before: pa.Table, after: pa.Table) -> list[str]:
    """Columns that hold other values, where nothing says which rows belong together."""
    found = []
    for name in before.column_names:
        one, two = (np.sort(hash_lane(table, [name])) for table in (before, after))
        if not np.array_equal(one, two):
            found.append(f"{name} holds other values")
    return shorten(found) or ["the same values stand in other rows"]


def changes(before: pa.Table, after: pa.Table, shown: Sequence[str]) -> list[str]:
    """Names of the columns that differ between two tables of the same rows, with how often and where first."""
    found = []
    for name in before.column_names:
        one, two = (hash_rows(table, [name]) for table in (before, after))
        rows = np.flatnonzero((one != two).any(1))
        if len(rows):
            row = int(rows[0])
            where = ", ".join(f"{key} {before.column(key)[row]}" for key in shown) or f"row {row + 1}"
            found.append(f"{name} changes in {len(rows):,} of {before.num_rows:,} rows, such as {where}")
    return shorten(found)


def shorten(found: list[str]) -> list[str]:
    return found if len(found) <= LISTED else [*found[:LISTED], f"and {len(found) - LISTED} more columns"]
