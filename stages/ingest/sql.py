"""A SQL query over SQLite files, or over a live database, in; records with the types it gives out, batch by batch.

The query is `ingest.query` or `sources/<pipeline>/query.sql`. An ORDER BY makes record numbers mean something.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from stages.contract.section import Section
from stages.core.errors import ContractError, DataError, SourceError
from stages.ingest import About, Batch, Raw, number_records
from stages.ingest._parts import Unit, matching
from stages.ingest.parquet import plain

BATCH_ROWS = 65_536
QUERY = "query.sql"
SQLITE = b"SQLite format 3\0"


class Options(Section):
    """`url_env` names the environment variable that holds a database's URL; without it, `files` are SQLite."""

    format: Literal["sql"]
    query: str = ""
    files: str = "**/*"
    url_env: str = ""


def units(raw: Raw, options: Options) -> list[Unit]:
    """A live database is one part; it bears the name of the query."""
    return [(QUERY,)] if options.url_env else matching(raw.folder, options.files)


def about(raw: Raw, options: Options) -> About:
    if not options.url_env:
        return About()
    return About(live=f"read from the live database that {options.url_env} names; no hash of a file stands for it")


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    query = find_query(raw, options)
    for name in names:
        found = live(query, options.url_env) if options.url_env else sqlite(raw.folder / name, name, query)
        start = 1
        for table in found:  # that their types agree is seen to where they are written
            table = table.cast(pa.schema([(item.name, plain(item.type)) for item in table.schema]))
            yield Batch(number_records(table, name, np.arange(start, start + table.num_rows)))
            start += table.num_rows


def find_query(raw: Raw, options: Options) -> str:
    path = raw.sources / QUERY
    if bool(options.query) == path.exists():
        found = "both ingest.query and" if options.query else "neither ingest.query nor"
        raise ContractError(f"there is {found} {path}. Write the query in one of the two.")
    return options.query or path.read_text(encoding="utf-8")


def sqlite(path: Path, name: str, query: str) -> Iterator[pa.Table]:
    from adbc_driver_manager import dbapi as manager
    from adbc_driver_sqlite import dbapi

    with path.open("rb") as file:  # opened by Python too, so that the test on dvc.yaml sees it
        if file.read(len(SQLITE)) != SQLITE:
            raise DataError(f"{name} is no SQLite database. Leave it out by ingest.files, or fetch it again.")
    try:
        with closing(dbapi.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1")) as connection:
            yield from stream(connection, query, {"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
    except (manager.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"{name}: the query failed: {error}.{advice(str(error))}") from None


def stream(connection: Any, query: str, settings: dict[str, str]) -> Iterator[pa.Table]:
    with closing(connection.cursor()) as cursor:
        cursor.adbc_statement.set_options(**settings)
        cursor.execute(query)
        for batch in cursor.fetch_record_batch():
            yield pa.Table.from_batches([batch])


def advice(error: str) -> str:
    """SQLite's columns have no type of their own: it is taken from the first rows."""
    if "mismatch" in error:
        return f" The first {BATCH_ROWS:,} rows are of that type. Write CAST(… AS TEXT) in the query."
    return " Mend the query."


def live(query: str, variable: str) -> Iterator[pa.Table]:
    """PostgreSQL through ADBC, any other database through SQLAlchemy and its driver."""
    url = os.environ.get(variable, "")
    if not url:
        raise SourceError(
            f"ingest.url_env names {variable}, which is not set. Set it to the database's URL, such as "
            "postgresql://user@host/name; never write a password into params.yaml."
        )
    postgres = urlsplit(url).scheme in ("postgres", "postgresql")
    try:
        yield from postgresql(query, url) if postgres else sqlalchemy(query, url)
    except database_errors() as error:
        raise SourceError(f"the database that {variable} names: {masked(str(error), url)}") from None


def database_errors() -> tuple[type[Exception], ...]:
    from adbc_driver_manager import dbapi
    from sqlalchemy.exc import SQLAlchemyError

    return (dbapi.Error, SQLAlchemyError, pa.ArrowException, OSError, ImportError)


def postgresql(query: str, url: str) -> Iterator[pa.Table]:
    from adbc_driver_postgresql import dbapi

    with closing(dbapi.connect(url)) as connection:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        yield from stream(connection, query, {"adbc.postgresql.batch_size_hint_bytes": str(8 << 20)})


def sqlalchemy(query: str, url: str) -> Iterator[pa.Table]:
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    try:
        with engine.connect().execution_options(yield_per=BATCH_ROWS) as connection:
            found = connection.execute(text(query))
            names = list(found.keys())
            for rows in found.partitions():
                columns = zip(names, zip(*rows, strict=True), strict=True)
                yield pa.table([to_array(values, name) for name, values in columns], names=names)
    finally:
        engine.dispose()


def to_array(values: Sequence[Any], name: str) -> pa.Array:
    """Decimals become text, as PostgreSQL's do: their Arrow type follows from the widest one of the batch."""
    if any(isinstance(value, Decimal) for value in values):
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):  # whose text holds the value
        kinds = sorted({type(value).__name__ for value in values if value is not None})
        raise DataError(
            f"the query's column {name!r} holds {' and '.join(kinds)}, which fit no common type. Write "
            "CAST(… AS TEXT) in the query."
        ) from None


def masked(message: str, url: str) -> str:
    """A message without the URL and without its password."""
    password = urlsplit(url).password
    message = message.replace(url, "<the URL>")
    return message.replace(password, "***") if password else message
