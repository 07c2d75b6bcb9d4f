"""Golden rows hold times as their column declares them, so that the bundle's own reader takes them."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from serving.prepare import prepare
from stages.columns import inputs
from stages.contract import Contract
from stages.core.errors import RefusedError
from stages.package import golden_rows, to_json_rows

MOMENTS = [dt.datetime(2025, 6, 15), dt.datetime(2025, 8, 20, 22), dt.datetime(2025, 12, 31, 23, 59, 59)]


def contract(**column):
    columns = {"shipped": {"type": "timestamp", **column}, "late": {"type": "category"}}
    return Contract("parcels", {"columns": columns, "examples": {"target": {"column": "late"}}})


def table(moments):
    return pa.table({"shipped": pa.array(moments, pa.timestamp("s"))})


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ({}, "2025-06-15T00:00:00"),
        ({"zone": "Europe/Berlin"}, "2025-06-15T02:00:00+02:00"),
        ({"format": "%d.%m.%Y %H:%M:%S"}, "15.06.2025 00:00:00"),
        ({"format": ["%d.%m.%Y", "%d.%m.%Y %H:%M:%S"]}, "15.06.2025"),  # the first that loses nothing
        ({"format": "%d.%m.%Y %H:%M:%S", "zone": "Europe/Berlin"}, "15.06.2025 02:00:00"),
        ({"epoch": "ms"}, 1_749_945_600_000),
        ({"format": "%d.%m.%Y %H:%M:%S", "min": "2025-06-15", "max": "2026-01-01"}, "15.06.2025 00:00:00"),
    ],
)
def test_a_time_is_written_as_its_column_reads_it(column, written):
    given = contract(**column)
    rows = golden_rows(table(MOMENTS), given, 3)
    sent = to_json_rows(rows, given.input_columns)
    assert sent[0]["shipped"] == written
    assert sent[3]["shipped"] is None
    arrays, problems = prepare([column.describe(name) for name, column in given.input_columns.items()], sent)
    assert problems == [[]] * 4
    (wanted,) = inputs(given.input_columns, rows).values()
    np.testing.assert_array_equal(arrays["shipped"], wanted)


def test_a_row_whose_time_has_no_way_to_be_written_does_not_travel():
    """The second of the two hours from 2 to 3 in the night that summer time ends, without its zone."""
    given = contract(format="%Y-%m-%d %H:%M", zone="Europe/Berlin")
    twice = [dt.datetime(2025, 10, 26, 1, 30), *MOMENTS[:2]]
    sent = to_json_rows(golden_rows(table(twice), given, 3), given.input_columns)
    assert [row["shipped"] for row in sent] == ["2025-06-15 02:00", "2025-08-21 00:00", None]


def test_no_row_whose_times_can_be_written_is_refused():
    """A day's format for times that hold hours, such as a query makes them."""
    with pytest.raises(
        RefusedError, match="none of 2 validation rows holds times that their columns' format can write"
    ):
        golden_rows(table(MOMENTS[1:]), contract(format="%Y-%m-%d"), 3)
