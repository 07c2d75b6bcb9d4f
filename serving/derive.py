"""Raw records and a date in, the rows that derive.sql makes of them out: as training made them, by DuckDB."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING or __package__:  # in a bundle the files stand side by side, and are no package
    from serving.prepare import parse_row
    from serving.read import InputError, Row, read_rows
else:
    from prepare import parse_row
    from read import InputError, Row, read_rows


def derive(contract: Mapping[str, Any], path: Path, as_of: datetime, folder: Path) -> tuple[list[Row], Counter[str]]:
    """Clean raw records as training did, and make one row per decision with derive.sql.

    Returns the rows, and how many records were left out by which problem.
    """
    import duckdb

    columns = contract["records"]
    values, left_out = clean(columns, read_rows(contract, path, columns))
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("raw_records", values)
        typed = ", ".join(
            TYPED.get(column["type"], "{0}::VARCHAR AS {0}").format(quote(column["name"])) for column in columns
        )
        connection.execute(f"CREATE TABLE records AS SELECT {typed} FROM raw_records")
        try:
            cursor = connection.execute((folder / "derive.sql").read_text(encoding="utf-8"), {"as_of": as_of})
        except duckdb.Error as error:
            hidden = any(column.get("personal") for column in columns)  # DuckDB quotes the value that it cannot convert
            why = f"{type(error).__name__}; its text may quote a personal value" if hidden else error
            raise InputError(f"{path}: derive.sql cannot be run on these records: {why}") from None
        fields = [field[0] for field in cursor.description]
        return [dict(zip(fields, row, strict=True)) for row in cursor.fetchall()], left_out


TYPED = {
    "number": "{0}::DOUBLE AS {0}",
    "boolean": "{0}::BOOLEAN AS {0}",
    "timestamp": "make_timestamp({0}::BIGINT * 1000000) AS {0}",
}


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def clean(
    columns: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Typed values of the sound records by column, and how many were left out by which problem.

    Each distinct value is parsed once: dates, names and prices repeat.
    """
    sound = np.ones(len(rows), bool)
    typed, problems = {}, Counter[str]()
    for column in columns:
        known: dict[Any, tuple[Any, list[str]]] = {}
        values = np.empty(len(rows), object)
        for i, row in enumerate(rows):
            value = row.get(column["name"])
            key = value if isinstance(value, str) else (type(value), repr(value))
            if key not in known:
                parsed, found = parse_row([column], row)
                known[key] = (parsed[0], found)
            values[i], found = known[key]
            if found := [row["_problem"]] if "_problem" in row else found:
                if sound[i]:
                    problems[found[0]] += 1
                sound[i] = False
        typed[column["name"]] = values
    return {name: values[sound] for name, values in typed.items()}, problems
