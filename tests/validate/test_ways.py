"""Whatever way an expectation is computed, it says what Great Expectations says of the whole frame in pandas."""

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from validate_shop import contract

from stages.validate import chunks, whole
from stages.validate.expectations import Engine, observed, plain, to_frame
from stages.validate.suite import expectation, route, with_moments

COLUMNS = {
    "id": {"type": "id"},
    "x": {"type": "number"},
    "y": {"type": "number"},
    "word": {"type": "category"},
    "flag": {"type": "boolean"},
    "at": {"type": "timestamp"},
    "colour": {"type": "category"},
}
N = 400
RANDOM = np.random.default_rng(7)
X = np.round(RANDOM.normal(0, 3, N), 1)
TABLE = pa.table(
    {
        "id": [f"i{i}" for i in range(N)],
        "x": pa.array(X, mask=RANDOM.random(N) < 0.1),
        "y": pa.array(np.where(RANDOM.random(N) < 0.3, X, RANDOM.normal(0, 3, N)), mask=RANDOM.random(N) < 0.1),
        "word": pa.array([None if i % 9 == 0 else ("ab", "cd", "efg")[i % 3] for i in range(N)]),
        "flag": pa.array([None if i % 7 == 0 else i % 2 == 0 for i in range(N)]),
        "at": pa.array([datetime(2020, 1, 1) + timedelta(hours=i) for i in range(N)], pa.timestamp("us")),
        "colour": ["red", "blue"] * (N // 2),
    }
)
SIZES = (0, 1, 150, 249)  # rows of the parts: an empty one and a single row among them

RANGES = {"quantiles": [0.0, 0.05, 0.5, 0.9, 1.0]}
WIDE, TIGHT = ({**RANGES, "value_ranges": [bounds] * 5} for bounds in ([-99, 99], [0, 1]))
CASES = [  # name, arguments that pass, arguments that fail, way
    ("column_values_to_not_be_null", {"column": "x", "mostly": 0.8}, {"column": "x"}, "chunks"),
    ("column_values_to_be_null", {"column": "word", "mostly": 0.1}, {"column": "word"}, "chunks"),
    ("column_values_to_be_between", {"column": "x", "max_value": 99}, {"column": "x", "min_value": -2}, "chunks"),
    (
        "column_values_to_be_between",
        {"column": "at", "min_value": "2020-01-01"},
        {"column": "at", "max_value": "2020-01-10T05:00"},
        "chunks",
    ),
    (
        "column_values_to_be_between",
        {"column": "x", "min_value": -2, "mostly": 0.6},
        {"column": "x", "min_value": -2, "strict_min": True, "mostly": 0.9},
        "chunks",
    ),
    (
        "column_values_to_be_in_set",
        {"column": "word", "value_set": ["ab", "cd", "efg"]},
        {"column": "word", "value_set": ["ab"]},
        "chunks",
    ),
    (
        "column_values_to_be_in_set",
        {"column": "flag", "value_set": [True, False]},
        {"column": "flag", "value_set": [True]},
        "chunks",
    ),
    (
        "column_values_to_not_be_in_set",
        {"column": "word", "value_set": ["zz"]},
        {"column": "word", "value_set": ["ab"]},
        "chunks",
    ),
    (
        "column_values_to_match_regex",
        {"column": "id", "regex": "^i[0-9]+$"},
        {"column": "id", "regex": "[13579]$"},
        "chunks",
    ),
    ("column_values_to_not_match_regex", {"column": "id", "regex": "x"}, {"column": "id", "regex": "99"}, "chunks"),
    (
        "column_values_to_match_regex_list",
        {"column": "id", "regex_list": ["^i", "q"]},
        {"column": "id", "regex_list": ["1", "2"]},
        "chunks",
    ),
    (
        "column_value_lengths_to_be_between",
        {"column": "word", "min_value": 2},
        {"column": "word", "max_value": 2},
        "chunks",
    ),
    (
        "column_value_lengths_to_equal",
        {"column": "word", "value": 2, "mostly": 0.5},
        {"column": "word", "value": 2},
        "chunks",
    ),
    (
        "column_pair_values_to_be_equal",
        {"column_A": "x", "column_B": "x"},
        {"column_A": "x", "column_B": "y"},
        "chunks",
    ),
    (
        "column_pair_values_a_to_be_greater_than_b",
        {"column_A": "x", "column_B": "y", "or_equal": True, "mostly": 0.01},
        {"column_A": "x", "column_B": "y"},
        "chunks",
    ),
    (
        "multicolumn_sum_to_equal",
        {"column_list": ["x", "y"], "sum_total": 0, "mostly": 0.0},
        {"column_list": ["x", "y"], "sum_total": 0},
        "chunks",
    ),
    (
        "select_column_values_to_be_unique_within_record",
        {"column_list": ["word", "colour"]},
        {"column_list": ["x", "y"]},
        "chunks",
    ),
    ("table_row_count_to_equal", {"value": N}, {"value": N + 1}, "arrow"),
    ("table_column_count_to_equal", {"value": 7}, {"value": 8}, "arrow"),
    ("table_columns_to_match_set", {"column_set": list(COLUMNS)}, {"column_set": ["id"]}, "arrow"),
    ("table_columns_to_match_ordered_list", {"column_list": list(COLUMNS)}, {"column_list": ["x", "id"]}, "arrow"),
    ("column_mean_to_be_between", {"column": "x", "min_value": -1}, {"column": "x", "min_value": 1}, "arrow"),
    ("column_stdev_to_be_between", {"column": "x", "max_value": 4}, {"column": "x", "max_value": 2}, "arrow"),
    ("column_sum_to_be_between", {"column": "x", "min_value": -1e6}, {"column": "x", "min_value": 1e6}, "arrow"),
    ("column_min_to_be_between", {"column": "x", "max_value": 0}, {"column": "x", "min_value": 0}, "arrow"),
    (
        "column_max_to_be_between",
        {"column": "x", "max_value": float(np.nanmax(X)) + 1},
        {"column": "x", "max_value": 1, "strict_max": True},
        "arrow",
    ),
    (
        "column_proportion_of_non_null_values_to_be_between",
        {"column": "x", "min_value": 0.8},
        {"column": "x", "min_value": 0.99},
        "arrow",
    ),
    ("column_median_to_be_between", {"column": "x", "max_value": 1}, {"column": "x", "min_value": 1}, "duckdb"),
    (
        "column_quantile_values_to_be_between",
        {"column": "x", "quantile_ranges": WIDE},
        {"column": "x", "quantile_ranges": TIGHT},
        "duckdb",
    ),
    *(
        (
            "column_quantile_values_to_be_between",
            {"column": "y", "allow_relative_error": how, "quantile_ranges": WIDE},
            {"column": "y", "allow_relative_error": how, "quantile_ranges": TIGHT},
            "duckdb",
        )
        for how in ("linear", "lower", "higher", "midpoint")
    ),
    ("column_values_to_be_unique", {"column": "id"}, {"column": "x"}, "duckdb"),
    ("column_values_to_be_unique", {"column": "x", "mostly": 0.0}, {"column": "word"}, "duckdb"),
    ("compound_columns_to_be_unique", {"column_list": ["id", "x"]}, {"column_list": ["word", "x"]}, "duckdb"),
    *(
        (
            "compound_columns_to_be_unique",
            {"column_list": ["id", "word"], "ignore_row_if": rule},
            {"column_list": ["x", "word"], "ignore_row_if": rule},
            "duckdb",
        )
        for rule in ("any_value_is_missing", "never")
    ),
    (
        "column_unique_value_count_to_be_between",
        {"column": "word", "max_value": 3},
        {"column": "word", "min_value": 4},
        "duckdb",
    ),
    (
        "column_proportion_of_unique_values_to_be_between",
        {"column": "x", "min_value": 0.1},
        {"column": "x", "min_value": 0.9},
        "duckdb",
    ),
    (
        "column_distinct_values_to_be_in_set",
        {"column": "word", "value_set": ["ab", "cd", "efg", "h"]},
        {"column": "word", "value_set": ["ab"]},
        "duckdb",
    ),
    (
        "column_distinct_values_to_contain_set",
        {"column": "word", "value_set": ["ab"]},
        {"column": "word", "value_set": ["ab", "h"]},
        "duckdb",
    ),
    (
        "column_distinct_values_to_equal_set",
        {"column": "word", "value_set": ["ab", "cd", "efg"]},
        {"column": "word", "value_set": ["ab", "h"]},
        "duckdb",
    ),
    (
        "column_most_common_value_to_be_in_set",
        {"column": "colour", "value_set": ["red"], "ties_okay": True},
        {"column": "colour", "value_set": ["red"]},
        "duckdb",
    ),
    (
        "column_value_z_scores_to_be_less_than",
        {"column": "x", "threshold": 9, "double_sided": True},
        {"column": "x", "threshold": 1, "double_sided": True},
        "whole",
    ),
    ("column_values_to_be_increasing", {"column": "at"}, {"column": "x"}, "whole"),
    ("column_values_to_be_of_type", {"column": "x", "type_": "float64"}, {"column": "x", "type_": "int64"}, "whole"),
]  # fmt: skip


def pieces():
    starts = np.cumsum([0, *SIZES])
    return [TABLE.slice(start, size) for start, size in zip(starts, SIZES, strict=False)]


def everything(kwargs):
    """Great Expectations on the whole frame, as documented."""
    columns = contract(columns=COLUMNS).columns
    return [expectation(f"expect_{kind}", with_moments(given, columns), "user") for kind, given in kwargs]


@pytest.fixture(scope="module")
def documented():
    columns = contract(columns=COLUMNS).columns
    engine = Engine("shop.validate")
    suite = engine.suite(everything([(kind, given) for kind, *both, _ in CASES for given in both]))
    return engine.run(suite, engine.batch(to_frame(TABLE, columns)), rows=20)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    monkeypatch.setattr("stages.core.parts.BATCH_ROWS", 100)


def test_each_way_gives_the_whole_frames_answer_on_what_passes_and_what_fails(shop, documented, small_chunks):
    asked = [{f"expect_{kind}": given} for kind, *both, _ in CASES for given in both]
    section = {"min_class_share": 0.0, "max_missing": {"default": 1.0}, "expect": asked}
    report = shop.validate(*pieces(), columns=COLUMNS, section=section)
    mine = [result for result in report["results"] if result["from"] == "user"]
    ways = [way for *_, way in CASES for _ in range(2)]
    assert len(mine) == len(documented) == 2 * len(CASES)
    for place, (result, truth, way) in enumerate(zip(mine, documented, ways, strict=True)):
        told = (result["type"], result["kwargs"])
        assert result["computed"] == way, told
        assert "error" not in result, result
        assert truth["error"] is None, told
        assert result["success"] is truth["success"] is (place % 2 == 0), told
        expected = observed(truth["result"])
        found = {key: value for key, value in result["observed"].items() if key != "failing_rows_saved"}
        assert set(found) == set(expected), told
        for key, value in expected.items():
            same = found[key] == value or found[key] == pytest.approx(value, rel=1e-12)
            assert same, (told, key, found[key], value)


def test_rows_of_failures_are_those_of_the_whole_frame(shop, documented, small_chunks):
    asked = [{f"expect_{kind}": bad} for kind, _, bad, _ in CASES]
    section = {"min_class_share": 0.0, "max_missing": {"default": 1.0}, "expect": asked, "failing_rows": 20}
    report = shop.validate(*pieces(), columns=COLUMNS, section=section)
    saved = read(shop.out / "failing.parquet").to_pylist()
    starts = dict(zip([f"{i:04}.parquet" for i in range(len(SIZES))], np.cumsum([0, *SIZES]), strict=False))
    first = [result["from"] for result in report["results"]].index("user")
    for place, truth in enumerate(documented[1::2]):
        wanted = truth["result"].get("partial_unexpected_index_list") or []
        number = f"{first + place + 1}: "
        found = [
            starts[row["_part"]] + row["_row"] - 1
            for row in saved
            if any(name.startswith(number) for name in row["_expectations"])
        ]
        assert found == sorted(wanted), CASES[place][0]


def test_a_condition_may_speak_of_the_whole_column_so_it_sees_the_whole_table():
    columns = contract(columns=COLUMNS).columns
    item = expectation(
        "expect_column_values_to_be_between", {"column": "x", "min_value": 0, "row_condition": "x > x.mean()"}, "user"
    )
    assert route(item, dict(zip(TABLE.schema.names, TABLE.schema.types, strict=True)), columns) == "whole"


def read(path):
    import pyarrow.parquet as pq

    return pq.read_table(path)


def test_what_duckdb_cannot_do_pandas_does(shop, monkeypatch):
    import duckdb

    def exhausted(*_):
        raise duckdb.OutOfMemoryException("no memory")

    monkeypatch.setattr(whole, "ranks", exhausted)
    section = {"expect": [{"expect_column_median_to_be_between": {"column": "x", "max_value": 1}}]}
    report = shop.validate(*pieces(), columns=COLUMNS, section=section)
    (result,) = [result for result in report["results"] if result["from"] == "user"]
    assert (result["computed"], result["success"]) == ("whole", True)


def test_a_nan_is_missing_in_every_way(shop):
    values = pa.array([1.0, float("nan"), 3.0, None])
    table = pa.table({"x": values, "colour": ["a", "b", "a", "b"]})
    asked = [
        {"expect_column_mean_to_be_between": {"column": "x", "min_value": 2, "max_value": 2}},
        {"expect_column_median_to_be_between": {"column": "x", "min_value": 2, "max_value": 2}},
        {"expect_column_values_to_be_unique": {"column": "x"}},
        {"expect_column_unique_value_count_to_be_between": {"column": "x", "max_value": 2}},
        {"expect_column_values_to_be_between": {"column": "x", "min_value": 0}},
    ]
    columns = {"x": {"type": "number"}, "colour": {"type": "category"}}
    assert shop.validate(table, columns=columns, section={"expect": asked})["passed"]


def test_values_as_json_can_say_them():
    moments = np.array(["2020-01-01"], "datetime64[ns]")
    assert plain([np.float64("nan"), float("inf"), np.int64(3), True, {"a": {1}}]) == [None, "inf", 3, True, {"a": [1]}]
    assert plain(datetime(2020, 1, 1)) == "2020-01-01T00:00:00"
    assert plain(moments)[0] is not None
