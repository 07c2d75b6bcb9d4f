"""Files of one JSON object a line in, records of text out; a line that is no object is kept as malformed.

A column is a key, or a path into nested objects joined by dots (`user.name`). Text comes unescaped, numbers and
booleans as JSON writes them, a nested object or list as JSON; null and a key that is absent are null.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.contract.section import Section
from stages.core.errors import DataError
from stages.ingest import Batch, Raw, malformed_row, number_records
from stages.ingest._parts import Unit, matching
from stages.ingest._text import AUTO, MARK, check_encoding, detect_encoding, lines, show_marks

SAMPLE_LINES = 1000


class Options(Section):
    """Files may be packed (.gz, .zst). `encoding` may be "auto"."""

    format: Literal["jsonl"]
    files: str = "**/*"
    encoding: str = "utf-8"


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    import duckdb

    check_encoding(options.encoding)
    with duckdb.connect(config={"threads": 1}) as connection:
        for name in names:
            path = raw.folder / name
            encoding = detect_encoding(path, name) if options.encoding == AUTO else options.encoding
            columns: dict[str, None] = dict.fromkeys(raw.columns)
            unseen, num_rows = {*columns}, 0
            for found, first, _ in lines(path, name, encoding):
                if first == 1:
                    refuse_array(found, name)
                keys = seen_keys(connection, found)
                if not raw.columns:
                    columns |= dict.fromkeys(keys)
                left_out = tuple(key for key in keys if not any(is_within(c, key) for c in columns))
                batch = read_lines(connection, found, first, name=name, columns=list(columns), left_out=left_out)
                num_rows += batch.records.num_rows
                unseen -= {column for column in unseen if batch.records[column].null_count < batch.records.num_rows}
                unseen -= null_columns(connection, found, sorted(unseen))
                yield batch
            if num_rows and raw.columns:
                yield Batch(pa.table({}), lacks={name: [column for column in columns if column in unseen]})


def is_within(column: str, key: str) -> bool:
    return column == key or column.startswith(f"{key}.")


def refuse_array(found: pa.Array, name: str) -> None:
    for line in found.slice(0, SAMPLE_LINES).to_pylist():
        if line.strip():
            if line.lstrip().startswith("[") and not line.rstrip().endswith("]"):
                raise DataError(f"{name} is one JSON list, not an object a line. Write it so: jq -c '.[]' {name}")
            return


def seen_keys(connection: Any, found: pa.Array) -> list[str]:
    """The keys of all lines, in the order in which they are first seen."""
    keys = run(connection, "SELECT CASE WHEN json_valid(line) THEN json_keys(line) END FROM sample", "sample", found)
    return [str(key) for key in pc.unique(pc.list_flatten(keys.column(0).combine_chunks())).to_pylist()]


def null_columns(connection: Any, found: pa.Array, columns: Sequence[str]) -> set[str]:
    """Those of the columns that some line has, if only as null."""
    if not columns:
        return set()
    checks = ", ".join(f"bool_or(list_has(json_exists(line, [{pointers([column])}]), true))" for column in columns)
    row = run(connection, f"SELECT {checks} FROM sample WHERE json_valid(line)", "sample", found)
    return {column for column, seen in zip(columns, row.to_pydict().values(), strict=True) if seen[0]}


def pointers(columns: Sequence[str]) -> str:
    """For SQL: of each column the key of that name, and the path into nested objects."""
    paths = [path for column in columns for path in (pointer([column]), pointer(column.split(".")))]
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def run(connection: Any, query: str, name: str, found: pa.Array) -> pa.Table:
    connection.register(name, pa.table({"line": found}))
    try:
        return connection.sql(query).to_arrow_table()
    finally:
        connection.unregister(name)


def read_lines(
    connection: Any, found: pa.Array, first: int, *, name: str, columns: Sequence[str], left_out: tuple[str, ...]
) -> Batch:
    """One block of lines, by DuckDB: each is parsed once for all columns."""
    query = (
        "SELECT CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' END AS sound, CASE WHEN json_valid(line) "
        f"THEN json_extract_string(line, [{pointers(columns)}]) END AS found FROM lines"
    )
    parsed = run(connection, query, "lines", found)
    blank = np.asarray(pc.equal(pc.utf8_trim_whitespace(found), ""))
    sound = np.asarray(pc.fill_null(parsed["sound"].combine_chunks(), False)) & ~blank
    sound &= ~np.asarray(pc.match_substring(found, MARK))
    places = first + np.arange(len(found))
    rows = parsed["found"].combine_chunks().filter(pa.array(sound))
    table = pa.table(
        {
            column: pc.coalesce(pc.list_element(rows, 2 * i), pc.list_element(rows, 2 * i + 1)) if len(rows) else []
            for i, column in enumerate(columns)
        },
        schema=pa.schema([(column, pa.string()) for column in columns]),
    )
    malformed = [
        malformed_row(
            name, int(places[row]), show_marks(found[row].as_py()), why(found[row].as_py()), line=int(places[row])
        )
        for row in np.flatnonzero(~sound & ~blank).tolist()
    ]
    return Batch(number_records(table, name, places[sound]), malformed, left_out)


def pointer(keys: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def why(line: str) -> str:
    if MARK in line:
        return "bytes that are not text in ingest.encoding"
    try:
        return f"a JSON {type(json.loads(line)).__name__}, not an object"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}"
