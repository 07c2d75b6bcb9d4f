"""Expectations over a whole column in, Great Expectations' answers out.

The numbers come from the summaries (Arrow) or from DuckDB (a query or two for each expectation), the comparison always
from Great Expectations itself. What has no equivalent of the same meaning runs on the whole table in pandas, on the
columns it needs; with a `row_condition`, on all of them.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.core import parts
from stages.validate.chunks import Tally
from stages.validate.expectations import SAMPLE, Engine, to_frame
from stages.validate.suite import COMPOUND, NON_NULL, Check, columns_of
from stages.validate.summary import Summary

MEMORY_LIMIT = "1GB"  # DuckDB spills to disk beyond it
UNIQUE = "expect_column_values_to_be_unique"
METRICS = {"mean": "column.mean", "sum": "column.sum", "min": "column.min", "max": "column.max"}


def by_arrow(engine: Engine, item: Check, summary: Summary, schema: pa.Schema) -> dict[str, Any]:
    """Table shape, moments and extremes, from the parts' summaries."""
    built, kind = engine.build(item), item["type"]
    metrics: dict[str, Any] = {
        "table.row_count": summary["rows"],
        "table.columns": schema.names,
        "table.column_count": len(schema.names),
    }
    names = columns_of(item["kwargs"])
    if names and names[0] in summary["columns"]:
        held = summary["columns"][names[0]]
        metrics |= {metric: held[key] for key, metric in METRICS.items() if key in held}
        if kind == "expect_column_sum_to_be_between":
            metrics["column.sum"] = held.get("sum", 0.0)  # as pandas has it of nothing
        if held["present"] > 1 and "spread" in held:
            metrics["column.standard_deviation"] = (held["spread"] / (held["present"] - 1)) ** 0.5
        if kind == NON_NULL:
            metrics["column.non_null_proportion"] = held["present"] / summary["rows"] if summary["rows"] else 0
    return engine.judge(built, metrics)


def map_metrics(built: Any, tally: Tally) -> dict[str, Any]:
    """Summed counts under the names by which a map expectation asks for them."""
    name, present = built.map_metric, tally.elements - tally.missing
    return {
        "table.row_count": tally.elements,
        "column_values.nonnull.unexpected_count": tally.missing,
        f"{name}.filtered_row_count": present,
        f"{name}.unexpected_count": tally.unexpected,
    }


def by_chunks(engine: Engine, item: Check, tally: Tally) -> dict[str, Any]:
    """`mostly` is applied by Great Expectations to the summed counts."""
    if tally.error is not None:
        return {"success": False, "result": {}, "error": tally.error}
    built = engine.build(item)
    return engine.judge(built, map_metrics(built, tally))


@contextmanager
def connection(paths: Sequence[Path]) -> Iterator[Any]:
    """DuckDB with the parts as the view `t`: their columns, `_part` (a path) and `_row` (from 0)."""
    import duckdb

    with tempfile.TemporaryDirectory() as spill, duckdb.connect(":memory:") as database:
        database.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET threads = 2; SET enable_progress_bar = false")
        database.execute(f"SET temp_directory = {text(spill)}")
        listed = ", ".join(text(str(path)) for path in paths)
        source = f"read_parquet([{listed}], filename = '_part', file_row_number = true, hive_partitioning = false)"
        database.execute(f"CREATE VIEW t AS SELECT * RENAME (file_row_number AS _row) FROM {source}")
        yield database


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def present(name: str, schema: pa.Schema) -> str:
    """A column with NaN as missing, as pandas has it."""
    column = quoted(name)
    real = pa.types.is_float64(schema.field(name).type)
    return f"(CASE WHEN isnan({column}) THEN NULL ELSE {column} END)" if real else column


def by_duckdb(
    engine: Engine, item: Check, database: Any, schema: pa.Schema, paths: Sequence[Path], kept: int
) -> tuple[dict[str, Any], list[list[int]]]:
    """Its answer, and the first unexpected rows as (part, row)."""
    kind, names = item["type"], columns_of(item["kwargs"])
    built = engine.build(item)
    if kind in (UNIQUE, COMPOUND):
        return unique(engine, built, names, database, (schema, paths, kept))
    column = present(names[0], schema)
    if "median" in kind or "quantile" in kind:
        metrics = ranks(item, column, database)
        return engine.judge(built, metrics), []
    count, distinct = database.execute(f"SELECT count({column}), count(DISTINCT {column}) FROM t").fetchone()
    if "unique" in kind:
        share = distinct / count if count else 0
        return engine.judge(built, {"column.distinct_values.count": distinct, "column.unique_proportion": share}), []
    if "most_common" in kind:
        query = (
            f"SELECT v FROM (SELECT {column} AS v, count(*) AS n FROM t WHERE v IS NOT NULL GROUP BY v) "
            "QUALIFY n = max(n) OVER () ORDER BY v"
        )
        return engine.judge(built, {"column.most_common_value": values(database, query)}), []
    query = f"SELECT DISTINCT {column} AS v FROM t WHERE v IS NOT NULL ORDER BY v"
    frame = pa.table({names[0]: pa.array(values(database, query), schema.field(names[0]).type)}).to_pandas()
    return engine.run(engine.suite([item]), engine.batch(frame), rows=SAMPLE)[0], []


def values(database: Any, query: str) -> list[Any]:
    return [row[0] for row in database.execute(query).fetchall()]


def ranks(item: Check, column: str, database: Any) -> dict[str, Any]:
    """Median and quantiles from exact order statistics, interpolated as numpy does."""
    (count,) = database.execute(f"SELECT count({column}) FROM t").fetchone()
    asked = item["kwargs"].get("quantile_ranges", {}).get("quantiles", [0.5])
    how = item["kwargs"].get("allow_relative_error") or "nearest"
    if how not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise ValueError(f"allow_relative_error is {how!r}; in pandas one of linear, lower, higher, midpoint, nearest")
    how = how if "quantile" in item["type"] else "linear"
    if not count:
        return {"column.median": np.nan, "column.quantile_values": [np.nan] * len(asked)}
    places = [(count - 1) * (share * 100 / 100) for share in asked]  # pandas hands percents to numpy
    wanted = sorted({int(rank) for place in places for rank in (np.floor(place), np.ceil(place))})
    # quantile_disc(q) is the value of rank ceil(q·n) - 1: half a rank above k, it is that of rank k.
    shares = ", ".join(repr((rank + 0.5) / count) for rank in wanted)
    (found,) = database.execute(f"SELECT quantile_disc({column}, [{shares}]) FROM t").fetchone()
    at = dict(zip(wanted, found, strict=True))
    exact = [
        float(
            np.quantile([at[int(np.floor(place))], at[int(np.ceil(place))]], place - np.floor(place), method="linear")
        )
        if how == "linear"
        else pick(at, place, how)
        for place in places
    ]
    return {"column.median": exact[0], "column.quantile_values": exact}


def pick(at: Mapping[int, float], place: float, how: str) -> float:
    low, high = at[int(np.floor(place))], at[int(np.ceil(place))]
    if how == "midpoint":
        return (low + high) / 2
    return {"lower": low, "higher": high, "nearest": at[round(place)]}[how]


def unique(
    engine: Engine, built: Any, names: Sequence[str], database: Any, place: tuple[pa.Schema, Sequence[Path], int]
) -> tuple[dict[str, Any], list[list[int]]]:
    """Every row whose value stands more than once is unexpected, as in pandas' duplicated(keep=False)."""
    schema, paths, kept = place
    listed = [present(name, schema) for name in names]
    rule = getattr(built, "ignore_row_if", None)
    rule = getattr(rule, "value", rule) if len(names) > 1 else "any_value_is_missing"
    missing = {"all_values_are_missing": " AND ", "any_value_is_missing": " OR "}.get(str(rule))
    some = f"NOT ({missing.join(f'{column} IS NULL' for column in listed)})" if missing else "true"
    keys = ", ".join(f"{column} AS k{i}" for i, column in enumerate(listed))
    by = ", ".join(f"k{i}" for i in range(len(names)))
    database.execute(f"CREATE OR REPLACE TEMP TABLE d AS SELECT {keys}, count(*) AS n FROM t WHERE {some} GROUP BY ALL")
    considered, doubled = database.execute(
        "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (n > 1), 0) FROM d"
    ).fetchone()
    (rows,) = database.execute("SELECT count(*) FROM t").fetchone()
    tally = Tally(elements=rows, unexpected=int(doubled), missing=rows - int(considered))
    metrics, found = map_metrics(built, tally), []
    if doubled:
        on = " AND ".join(f"{column} IS NOT DISTINCT FROM d.k{i}" for i, column in enumerate(listed))
        query = f"SELECT _part, _row, {by} FROM t JOIN d ON {on} WHERE n > 1 AND {some} ORDER BY _part, _row"
        query += f" LIMIT {max(kept, SAMPLE)}"
        first = database.execute(query).fetchall()
        order = {str(path): i for i, path in enumerate(paths)}
        found = [[order[row[0]], row[1]] for row in first][:kept]
        sample = [row[2] if len(names) == 1 else dict(zip(names, row[2:], strict=True)) for row in first]
        metrics[f"{built.map_metric}.unexpected_values"] = sample[:SAMPLE]
    return engine.judge(built, metrics), found


def by_pandas(
    engine: Engine, item: Check, folder: Path, columns: Mapping[str, Any], kept: int
) -> tuple[dict[str, Any], list[list[int]]]:
    """Great Expectations on the whole table, with only the columns that the expectation needs."""
    held = parts.schema(folder).names
    names = [name for name in columns_of(item["kwargs"]) if name in held]
    if item["kwargs"].get("row_condition") or not names:
        names = held
    frame = to_frame(parts.read(folder, names), columns)
    (answer,) = engine.run(engine.suite([item]), engine.batch(frame), rows=max(kept, SAMPLE))
    listed = answer["result"].get("partial_unexpected_index_list") or []
    return answer, place_rows(folder, [int(row) for row in listed][:kept])


def place_rows(folder: Path, rows: Sequence[int]) -> list[list[int]]:
    """Rows of the whole table as (part, row)."""
    starts = np.cumsum([0, *(num_rows(path) for path in parts.files(folder))])
    at = np.searchsorted(starts, rows, side="right") - 1
    return [[int(part), int(row - starts[part])] for part, row in zip(at, rows, strict=True)]


def num_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    with path.open("rb") as file:
        return int(pq.read_metadata(file).num_rows)
