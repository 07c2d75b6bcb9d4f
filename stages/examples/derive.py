"""Typed tables, a query and dates in; one row per decision and date out, by DuckDB."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.columns import module_of
from stages.contract.column import shown, withheld
from stages.core.errors import DataError


def cut_offs(table: pa.Table, as_of: Any) -> list[datetime]:
    """Oldest first. The last is the midnight that begins the data's last, perhaps incomplete, day, less
    `days_before_end`; each other stands `every_days` before the next."""
    if not table.num_rows or (extent := pc.min_max(table.column(as_of.time)).as_py())["max"] is None:
        raise DataError(f"examples.as_of.time: {as_of.time} has no value, so there is no last day to count back from")
    first, latest = extent["min"], extent["max"]
    midnight = datetime(latest.year, latest.month, latest.day) - timedelta(days=as_of.days_before_end)
    dates = [midnight - timedelta(days=step * (as_of.every_days or 0)) for step in range(as_of.count)]
    known = [date for date in dates if date > first.replace(tzinfo=None)]
    if not known:
        raise DataError(
            f"examples.as_of: the cut-off {midnight:%Y-%m-%d} lies before the first {as_of.time}, {first:%Y-%m-%d}, so "
            f"no record comes before it. Lower days_before_end, or take more records"
        )
    if len(known) < len(dates):
        raise DataError(
            f"examples.as_of reaches back to {dates[-1]:%Y-%m-%d}, but the first {as_of.time} is of {first:%Y-%m-%d}. "
            f"At most count: {len(known)} is possible with every_days: {as_of.every_days}"
        )
    return dates[::-1]


def run(
    query: Path, tables: Mapping[str, pa.Table], as_of: datetime | None, *, personal: Sequence[str] = ()
) -> pa.Table:
    """The query's rows. One thread and UTC, so that the same input gives the same bytes.

    Where columns are `personal`, an error that comes of the records is not quoted: DuckDB quotes their values.
    """
    import duckdb

    if not query.exists():
        raise DataError(f"{query} does not exist; examples.derive names it")
    text = query.read_text(encoding="utf-8")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        parameters = {"as_of": as_of} if as_of and "$as_of" in text else {}
        try:
            return answer(connection, text, tables, parameters)
        except duckdb.Error as error:
            if not personal:
                raise DataError(f"{query}: {error}") from None
            found = error
        try:  # an error that no records can have caused quotes nobody
            answer(connection, text, {name: table.slice(0, 0) for name, table in tables.items()}, parameters)
        except duckdb.Error as error:
            raise DataError(f"{query}: {error}") from None
    raise DataError(
        f"{query} cannot be run on these records: {withheld(found, personal)}. Run it by hand in DuckDB to see more, "
        "or write TRY_CAST(column AS type) where it converts"
    )


def answer(connection: Any, text: str, tables: Mapping[str, pa.Table], parameters: Mapping[str, Any]) -> pa.Table:
    for name, table in tables.items():
        connection.register(name, table)
    result: pa.Table = connection.sql(text, params=parameters).to_arrow_table()
    return result.combine_chunks()


def conform(
    table: pa.Table, columns: Mapping[str, Any], *, query: str = "derive.sql", path: str = "examples.columns"
) -> pa.Table:
    """Hold derived values against their columns, declared at `path`. Raises DataError naming what breaks."""
    typed = {}
    for name, column in columns.items():
        if name not in table.column_names:
            raise DataError(
                f"{query} returns no column {name!r}, which {path} declares. It returns: "
                f"{', '.join(table.column_names)}"
            )
        values = table.column(name).combine_chunks()
        cleaned = module_of(column).clean(name, column, pa.array(values))
        for rule, mask in cleaned.broken.items():
            row = int(np.flatnonzero(mask)[0])
            found = shown(column, values[row])
            raise DataError(
                f"{query} row {row + 1}: {name} is {found}, which breaks {name}.{rule}; so do "
                f"{int(mask.sum()):,} of {len(mask):,} rows. Mend {query}, or {path}.{name}."
            )
        typed[name] = cleaned.values
    return pa.table(typed)


def dated(tables: Sequence[pa.Table], dates: Sequence[datetime], name: str) -> pa.Table:
    """The rows of all dates below one another, each with its date in the column `name`."""
    parts = [
        table.append_column(name, pa.array([date] * table.num_rows, pa.timestamp("us")))
        for table, date in zip(tables, dates, strict=True)
    ]
    return pa.concat_tables(parts, promote_options="permissive")
