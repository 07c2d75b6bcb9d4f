"""Typed tables, a query and a date in; one row per decision out, by DuckDB."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stages.core.errors import DataError


def cut_off(table: pa.Table, as_of: Any) -> datetime:
    """The midnight that begins the last, perhaps incomplete, day of the data, less the horizon."""
    latest = pc.max(table.column(as_of.time)).as_py()
    if latest is None:
        raise DataError(f"examples.as_of.time: {as_of.time} has no value, so there is no last day to count back from")
    midnight = datetime(latest.year, latest.month, latest.day)
    return midnight - timedelta(days=as_of.days_before_end)


def run(query: Path, tables: Mapping[str, pa.Table], as_of: datetime | None) -> pa.Table:
    """The query's rows. One thread and UTC, so that the same input gives the same bytes."""
    import duckdb

    if not query.exists():
        raise DataError(f"{query} does not exist; examples.derive names it")
    text = query.read_text(encoding="utf-8")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        try:
            parameters = {"as_of": as_of} if as_of and "$as_of" in text else {}
            result: pa.Table = connection.sql(text, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"{query}: {error}") from None
    return result.combine_chunks()
