"""The contract in; the expectations that follow from it, and the way that each is computed, out.

To what cleaning promised come what it cannot promise (row count, missing shares) and the user's own
expectations by their Great Expectations names.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from typing import Any, Literal

import pyarrow as pa

from stages.columns import module_of
from stages.contract.column import personal
from stages.validate.section import Section

Check = dict[str, Any]  # {"type": …, "kwargs": {…}, "from": "contract" | "user", "severity": "fail" | "warn"}
Way = Literal["chunks", "arrow", "duckdb", "whole"]

# A row's answer depends on that row alone. Not here: types (a frame's, not a value's), z-scores, outliers, order.
CHUNKS = {
    f"expect_{name}"
    for name in """
    column_values_to_not_be_null column_values_to_be_null column_values_to_be_between column_values_to_be_in_set
    column_values_to_not_be_in_set column_values_to_match_regex column_values_to_not_match_regex
    column_values_to_match_regex_list column_values_to_not_match_regex_list column_value_lengths_to_be_between
    column_value_lengths_to_equal column_values_to_match_strftime_format column_values_to_be_dateutil_parseable
    column_values_to_be_json_parseable column_values_to_match_json_schema column_pair_values_to_be_equal
    column_pair_values_a_to_be_greater_than_b column_pair_values_to_be_in_set multicolumn_sum_to_equal
    multicolumn_values_to_be_equal select_column_values_to_be_unique_within_record
    """.split()
}
TABLE = {
    "expect_table_row_count_to_be_between", "expect_table_row_count_to_equal", "expect_column_to_exist",
    "expect_table_column_count_to_be_between", "expect_table_column_count_to_equal",
    "expect_table_columns_to_match_ordered_list", "expect_table_columns_to_match_set",
}  # fmt: skip
MOMENTS = {f"expect_column_{name}_to_be_between" for name in ("mean", "stdev", "sum", "min", "max")}
RANKS = {"expect_column_median_to_be_between", "expect_column_quantile_values_to_be_between"}
DISTINCT = {
    "expect_column_values_to_be_unique", "expect_column_unique_value_count_to_be_between",
    "expect_column_proportion_of_unique_values_to_be_between", "expect_column_distinct_values_to_be_in_set",
    "expect_column_distinct_values_to_contain_set", "expect_column_distinct_values_to_equal_set",
    "expect_column_most_common_value_to_be_in_set",
}  # fmt: skip
COMPOUND = "expect_compound_columns_to_be_unique"
NON_NULL = "expect_column_proportion_of_non_null_values_to_be_between"


def derive_suite(columns: Mapping[str, Any], section: Section) -> list[Check]:
    """The expectations that follow from the contract, then the user's own."""
    rows = {"min_value": section.rows.min, "max_value": section.rows.max}
    suite = [expectation("expect_table_row_count_to_be_between", {k: v for k, v in rows.items() if v is not None})]
    default = section.max_missing.get("default", 0.95)
    for name, column in columns.items():
        suite.append(expectation("expect_column_to_exist", {"column": name}))
        share = 0.0 if column.required else section.max_missing.get(name, default)
        suite.append(expectation("expect_column_values_to_not_be_null", {"column": name, "mostly": 1.0 - share}))
        for item in module_of(column).expectations(column):
            suite.append(expectation(item["type"], {"column": name, **item["kwargs"]}))
    suite += [own(kind, arguments) for item in section.expect for kind, arguments in item.items()]
    return [{**item, "kwargs": with_moments(item["kwargs"], columns)} for item in suite]


def expectation(kind: str, kwargs: dict[str, Any], origin: str = "contract", severity: str = "fail") -> Check:
    return {"type": kind, "kwargs": kwargs, "from": origin, "severity": severity}


def with_moments(kwargs: dict[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """Bounds of a timestamp as moments in UTC: Great Expectations reads "2020-01-01" as a day, which nothing equals."""
    column = str(kwargs.get("column"))
    if column not in columns or columns[column].type != "timestamp":
        return kwargs
    return {key: moment(value) if key in ("min_value", "max_value") else value for key, value in kwargs.items()}


def moment(value: Any) -> Any:
    try:
        found = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    except ValueError:
        return value
    return found.astimezone(timezone.utc).replace(tzinfo=None) if found.tzinfo else found


def own(kind: str, arguments: Mapping[str, Any]) -> Check:
    kwargs = {key: value for key, value in arguments.items() if key != "severity"}
    return expectation(kind, kwargs, "user", arguments.get("severity", "fail"))


def columns_of(kwargs: Mapping[str, Any]) -> list[str]:
    """The columns that an expectation speaks of."""
    found = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    listed = kwargs.get("column_list")
    return list(dict.fromkeys(str(name) for name in [*found, *(listed if isinstance(listed, list) else [])]))


def route(item: Check, types: Mapping[str, pa.DataType], columns: Mapping[str, Any]) -> Way:
    """The cheapest way that gives what Great Expectations gives on the whole table."""
    kind, kwargs = item["type"], item["kwargs"]
    names = columns_of(kwargs)
    if kind in TABLE:
        return "arrow"
    if kwargs.get("row_condition") or not names or any(name not in types for name in names):
        return "whole"  # a condition may speak of the whole column; an absent column is Great Expectations' to report
    if kind in CHUNKS:
        return "chunks"
    plain = all(getattr(module_of(columns[name]), "visible", None) is None for name in names if name in columns)
    kinds = [types[name] for name in names]
    real = plain and all(pa.types.is_float64(dtype) for dtype in kinds)
    if (kind in MOMENTS and real) or (kind == NON_NULL and plain):
        return "arrow"
    simple = plain and all(pa.types.is_float64(dtype) or pa.types.is_string(dtype) for dtype in kinds)
    if (kind in RANKS and real) or (kind in DISTINCT | {COMPOUND} and simple):
        return "duckdb"
    return "whole"


def touched(item: Mapping[str, Any], columns: Mapping[str, Any]) -> list[str]:
    """The personal columns that an expectation speaks of; a condition may speak of any."""
    names = list(columns) if item["kwargs"].get("row_condition") else columns_of(item["kwargs"])
    return personal({name: columns[name] for name in names if name in columns})


def chunked(suite: Sequence[Check], ways: Sequence[Way]) -> list[Check]:
    """The expectations that run on chunks, each with its place in the suite."""
    return [{**item, "place": place} for place, item in enumerate(suite) if ways[place] == "chunks"]
