"""Nineteen invoice lines, made by hand, give exactly these customers, features and labels."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.contract.loader import declare
from stages.core.errors import DataError
from stages.examples import AsOf, conform
from stages.examples.derive import cut_offs, run

QUERY = Path(__file__).parents[2] / "sources" / "retail" / "derive.sql"
AS_OF = datetime(2011, 9, 1)
LINES = [  # invoice, product, pieces, price, when, customer
    ("500001", "10002", 6, 2.5, "2011-05-01 09:00", "1"),  # sold twice …
    ("500001", "10002", 6, 2.5, "2011-05-01 09:00", "1"),
    ("C500002", "10002", -6, 2.5, "2011-05-03 09:00", "1"),  # … and cancelled once: sold once
    ("500003", "10003", 4, 1.0, "2011-08-31 23:59", "1"),
    ("C500009", "10003", -4, 1.0, "2011-09-02 10:00", "1"),  # cancelled later: it stood at the cut-off
    ("500004", "10004", 1, 1.0, "2011-05-01 09:00", "2"),
    ("C500005", "10004", -1, 1.0, "2011-05-01 09:00", "2"),  # all undone: not a customer
    ("500006", "POST", 1, 18.0, "2011-05-01 09:00", "3"),  # postage alone: not a customer
    ("500007", "10005", 12, 1.0, "2011-05-01 09:00", "4"),
    ("C500008", "10005", -2, 1.0, "2011-05-02 09:00", "4"),  # a part return: the purchase stands
    ("500010", "10005", 12, 1.0, "2011-11-29 23:59", "4"),  # the window's last minute
    ("500011", "10006", 1, 1.0, "2011-08-01 09:00", "5"),
    ("500012", "10006", 1, 1.0, "2011-09-05 09:00", "5"),
    ("C500013", "10006", -1, 1.0, "2011-10-05 09:00", "5"),  # bought and cancelled in the window
    ("500014", "10006", 1, 1.0, "2011-08-01 09:00", "6"),
    ("500015", "10006", 1, 1.0, "2011-11-30 00:00", "6"),  # a minute behind the window
    ("C500016", "10007", -3, 1.0, "2011-04-01 09:00", "7"),  # cancelled before it was bought: undoes nothing
    ("500017", "10007", 3, 1.0, "2011-08-01 09:00", "7"),
    ("500018", "10008", 3, 1.0, "2011-09-01 00:00", "7"),  # the window's first moment
]
NAMES = ["InvoiceNo", "StockCode", "Quantity", "UnitPrice", "InvoiceDate", "CustomerID"]


def records(lines: list[tuple]) -> pa.Table:
    columns = dict(zip(NAMES, map(list, zip(*lines, strict=True)), strict=True))
    columns["InvoiceDate"] = pa.array([datetime.fromisoformat(when) for when in columns["InvoiceDate"]])
    columns["Quantity"] = pa.array(columns["Quantity"], pa.float64())
    return pa.table({**columns, "Country": ["UK"] * len(lines), "Description": pa.nulls(len(lines), pa.string())})


def derive(lines: list[tuple], as_of: datetime = AS_OF) -> dict[str, dict]:
    """{customer: {column: value}}"""
    return {row["CustomerID"]: row for row in run(QUERY, {"records": records(lines)}, as_of).to_pylist()}


def features(customers: dict[str, dict]) -> dict[str, dict]:
    return {key: {name: value for name, value in row.items() if name != "buys_again"} for key, row in customers.items()}


def test_customers_and_labels():
    labels = {customer: row["buys_again"] for customer, row in derive(LINES).items()}
    assert labels == {"1": "no", "4": "yes", "5": "no", "6": "no", "7": "yes"}


def test_every_feature_of_a_customer_with_a_cancelled_twin():
    row = derive(LINES)["1"]
    assert row.pop("recency_days") == pytest.approx(1 / 1440)
    assert row == {
        "CustomerID": "1",
        "Country": "UK",
        "tenure_days": 122.625,
        "orders": 2.0,
        "orders_30d": 1.0,
        "orders_90d": 1.0,
        "orders_180d": 2.0,
        "active_months": 2.0,
        "spend": 19.0,
        "spend_90d": 4.0,
        "spend_per_order": 9.5,
        "units": 10.0,
        "mean_price": 1.9,
        "products": 2.0,
        "products_per_order": 1.0,
        "repeated_share": 0.0,
        "active_days": 2.0,
        "mean_gap_days": 122.0,
        "longest_gap_days": 122.0,
        "last_gap_days": 122.0,
        "cancelled_share": 0.25,
        "cancelled_orders": 1.0,
        "overdue_ratio": pytest.approx(1 / 1440 / 122),
        "buys_again": "no",
    }


def test_a_part_return_leaves_the_purchase_and_counts_as_a_cancellation():
    row = derive(LINES)["4"]
    assert (row["units"], row["spend"], row["cancelled_share"], row["mean_gap_days"]) == (12.0, 12.0, 0.5, None)


def test_features_are_equal_when_all_later_records_are_removed():
    past = [line for line in LINES if line[4] < "2011-09-01"]
    assert len(past) == 13
    assert features(derive(past)) == features(derive(LINES))


def test_features_are_equal_when_later_records_are_poisoned():
    past = [line for line in LINES if line[4] < "2011-09-01"]
    poison = [("C599999", code, -pieces, 9e4, "2011-09-01 00:00", who) for _, code, pieces, _, _, who in past]
    bought = [("599998", "10002", 9999, 9e4, "2011-09-01 00:00", who) for who in "12345678"]
    assert features(derive(past + poison + bought)) == features(derive(past))


def test_the_order_of_the_lines_changes_nothing():
    expected = run(QUERY, {"records": records(LINES)}, AS_OF)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(LINES))
        assert run(QUERY, {"records": records([LINES[i] for i in order])}, AS_OF).equals(expected)


def test_identical_lines_count_twice():
    line = ("500001", "10002", 6, 2.5, "2011-05-01 09:00", "1")
    once, twice = derive([line])["1"], derive([line, line])["1"]
    assert (once["units"], once["spend"], once["orders"]) == (6.0, 15.0, 1.0)
    assert (twice["units"], twice["spend"], twice["orders"]) == (12.0, 30.0, 1.0)


def test_a_cancelled_order_is_no_purchase_and_a_second_cancellation_undoes_no_other():
    bought = ("500001", "10002", 6, 2.5, "2011-05-01 09:00", "1")
    other = ("500002", "10003", 6, 2.5, "2011-06-01 09:00", "1")
    cancelled = ("C500003", "10002", -6, 2.5, "2011-05-02 09:00", "1")
    assert derive([bought, cancelled]) == {}
    row = derive([bought, other, cancelled, cancelled])["1"]
    assert (row["orders"], row["units"], row["products"]) == (1.0, 6.0, 1.0)


def test_a_cancellation_takes_the_latest_open_purchase():
    early = ("500001", "10002", 6, 1.0, "2011-05-01 09:00", "1")
    late = ("500002", "10002", 6, 5.0, "2011-06-01 09:00", "1")
    cancelled = ("C500003", "10002", -6, 5.0, "2011-06-02 09:00", "1")
    row = derive([early, late, cancelled])["1"]
    assert (row["spend"], row["tenure_days"]) == (6.0, row["recency_days"])


@pytest.mark.parametrize(
    "line",
    [
        ("500001", "POST", 1, 18.0, "2011-05-01 09:00", "1"),
        ("500001", "BANK CHARGES", 1, 18.0, "2011-05-01 09:00", "1"),
        ("500001", "10002", -5, 1.0, "2011-05-01 09:00", "1"),  # a stock loss
        ("C500001", "10002", 5, 1.0, "2011-05-01 09:00", "1"),  # a cancellation of nothing
        ("500001", "10002", 5, 1.0, "2011-09-01 00:00", "1"),  # not yet
    ],
    ids=lambda line: f"{line[0]} {line[1]} {line[2]} {line[4]}",
)
def test_a_line_that_makes_nobody_a_customer(line):
    assert derive([line]) == {}


def test_customers_do_not_touch_one_another():
    whole = derive(LINES)
    for customer in whole:
        assert derive([line for line in LINES if line[5] == customer]) == {customer: whole[customer]}


def test_the_cut_off_is_the_midnight_of_the_last_day_less_the_horizon():
    table = records(LINES)  # the last line is of 2011-11-30
    assert cut_offs(table, AsOf(time="InvoiceDate", days_before_end=90)) == [datetime(2011, 9, 1)]
    assert cut_offs(table.slice(0, 10), AsOf(time="InvoiceDate", days_before_end=0)) == [datetime(2011, 9, 2)]


def test_a_time_column_without_a_value_has_no_cut_off():
    table = pa.table({"when": pa.nulls(3, pa.timestamp("us"))})
    with pytest.raises(DataError, match="when has no value"):
        cut_offs(table, AsOf(time="when", days_before_end=90))


@pytest.mark.parametrize(("query", "message"), [("select nothing from records", "nothing"), (None, "does not exist")])
def test_a_query_that_is_wrong_or_absent_is_named(tmp_path, query, message):
    path = tmp_path / "derive.sql"
    if query:
        path.write_text(query, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        run(path, {"records": records(LINES)}, AS_OF)
    assert str(path) in str(caught.value)


def test_derived_values_are_held_against_their_declarations():
    table = pa.table({"who": ["a", "b", "c"], "orders": [1.0, 0.0, 0.0]})
    declared = {"who": declare("who", {"type": "id"}), "orders": declare("orders", {"type": "number", "min": 1})}
    with pytest.raises(DataError, match=r"row 2: orders is 0.0, which breaks orders.min; so do 2 of 3 rows"):
        conform(table, declared)
    with pytest.raises(DataError, match=r"returns no column 'orders'.*It returns: who"):
        conform(table.select(["who"]), declared)
    assert conform(table.slice(0, 1), declared).to_pylist() == [{"who": "a", "orders": 1.0}]
