"""No query can look into the future unseen: poisoned ones are refused by name, sound ones pass."""

import csv
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.derive import derive
from serving.read import InputError
from stages.contract import Contract, load
from stages.core.errors import DataError
from stages.examples import AsOf, make
from stages.examples.derive import cut_offs, run
from stages.examples.future import reasons

START = datetime(2020, 1, 1)
SOUND = """
select who, count(*)::double as orders, max(amount) as largest, sum(amount) / count(*) as mean,
  if(who in (select who from records where "when" >= $as_of and "when" < $as_of::timestamp + interval 30 day),
     'yes', 'no') as buys
from records where "when" < $as_of group by who order by who
"""
COLUMNS = {
    "who": {"type": "id"},
    "orders": {"type": "number"},
    "largest": {"type": "number"},
    "mean": {"type": "number"},
    "buys": {"type": "category"},
}


def orders(num_rows: int = 2400, num_days: int = 240) -> pa.Table:
    """Of 300 people; the last day is cut off early, as in real data."""
    rng = np.random.default_rng(3)
    minutes = np.sort(rng.integers(0, num_days * 1440 - 600, num_rows))
    times = [START + timedelta(minutes=int(minute)) for minute in minutes]
    people = (300 * rng.beta(0.5, 1.5, num_rows)).astype(int)
    return pa.table(
        {
            "who": [f"p{person:03}" for person in people],
            "when": pa.array(times, pa.timestamp("us")),
            "amount": rng.integers(1, 100, num_rows).astype(float),
        }
    )


def contract(**more: Any) -> Contract:
    examples = {
        "derive": "derive.sql",
        "as_of": {"time": "when", "days_before_end": 30},
        "columns": COLUMNS,
        "target": {"column": "buys"},
        "split": {"by": "group", "key": "who"},
        "leaks": {"duplicates": "drop"},
        **more,
    }
    records = {"who": {"type": "id"}, "when": {"type": "timestamp"}, "amount": {"type": "number"}}
    return Contract("shop", {"columns": records, "validate": {}, "examples": examples})


def made(tmp_path: Path, sql: str, **more: Any) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    (tmp_path / "derive.sql").write_text(sql, encoding="utf-8")
    parts, report, _ = make(orders(), contract(**more), tmp_path)
    return parts, report


def test_a_query_that_reads_only_the_past_passes(tmp_path):
    _, report = made(tmp_path, SOUND)
    assert report["passed"], report["reasons"]
    assert report["point_in_time"] == "passed"
    assert report["as_of"] == "2020-07-28T00:00:00"


POISON = {  # what is replaced, by what, and the words of the verdict
    "a value of later records": (
        "max(amount) as largest",
        "(select max(amount) from records r where r.who = records.who) as largest",
        "largest changes in",
    ),
    "a count of all records": ("count(*)::double", "(select count(*) from records)::double", "orders changes in"),
    "a scale over all records": ("/ count(*)", "/ (select avg(amount) from records)", "mean changes in"),
    "ten hours too many": (
        'where "when" < $as_of group',
        """where "when" < $as_of::timestamp + interval 600 minute group""",
        "orders changes in 4 of 284 rows",
    ),
    "rows only of those who come back": (
        'from records where "when" < $as_of group',
        """from records where "when" < $as_of and who in (select who from records where "when" >= $as_of) group""",
        "rows are gone and 0 are new",
    ),
    "a subquery that finds nothing in the past": (
        "max(amount) as largest",
        """(select coalesce(any_value(r.amount), error('none')) from records r where "when" >= $as_of) as largest""",
        "without the records from 2020-07-28 on it fails",
    ),
}


@pytest.mark.parametrize("what", POISON)
def test_a_query_that_looks_into_the_future_is_refused(tmp_path, what):
    old, new, words = POISON[what]
    assert SOUND.count(old) == 1
    _, report = made(tmp_path, SOUND.replace(old, new))
    assert not report["passed"]
    assert report["point_in_time"] == "not passed"
    assert report["reasons"][0].startswith("derive.sql looks into the future")
    assert words in report["reasons"][0]


UNORDERED = SOUND.replace("order by who", "").replace("select who,", "select")
SHUFFLED = UNORDERED.replace(
    "group by who", "group by who order by hash(count(*) + (select count(*) from records)), 1, 2, 3"
)


def test_rows_without_an_id_are_compared_in_any_order(tmp_path):
    columns = {name: column for name, column in COLUMNS.items() if name != "who"}
    without = {"columns": columns, "split": {"by": "hash"}}
    for query in (UNORDERED, SHUFFLED):
        assert made(tmp_path, query, **without)[1]["point_in_time"] == "passed"
    looking = UNORDERED.replace(
        "max(amount) as largest", "(select max(amount) from records r where r.who = records.who) as largest"
    )
    reason = made(tmp_path, looking, **without)[1]["reasons"][0]
    assert "on, largest holds other values. Mend the query" in reason
    swapped = UNORDERED.replace(
        "max(amount) as largest",
        '((row_number() over (order by min("when")) + (select count(*) from records)) % count(*) over ())::double '
        "as largest",
    )
    reason = made(tmp_path, swapped, **without)[1]["reasons"][0]
    assert "on, the same values stand in other rows. Mend the query" in reason


def test_only_the_columns_that_look_are_named(tmp_path):
    _, report = made(tmp_path, SOUND.replace("count(*)::double", "(select count(*) from records)::double"))
    reason = report["reasons"][0]
    assert "orders changes" in reason
    assert "such as who p000" in reason
    assert "largest" not in reason
    assert "mean" not in reason


def test_a_label_that_looks_past_its_horizon_is_refused(tmp_path):
    past = SOUND.replace("interval 30 day", "interval 60 day")
    dates = {"as_of": {"time": "when", "days_before_end": 30, "every_days": 30, "count": 2}}
    _, report = made(tmp_path, past, **dates)
    reasons = [reason for reason in report["reasons"] if reason.startswith("derive.sql looks")]
    # At the last date there is nothing behind the horizon but the unfinished day.
    assert any(
        "more than 30 days past its date: at 2020-06-28" in reason and "buys changes" in reason for reason in reasons
    )
    assert not any("looks into the future" in reason for reason in reasons)
    assert made(tmp_path, SOUND, **dates)[1]["point_in_time"] == "passed"


def test_several_dates_give_each_entity_a_row_a_date_and_no_entity_crosses(tmp_path):
    dates = {"time": "when", "days_before_end": 30, "every_days": 30, "count": 4}
    parts, report = made(tmp_path, SOUND, as_of=dates, leaks={"duplicates": "block"})
    assert list(report["dates"]) == [f"2020-{day}T00:00:00" for day in ("04-29", "05-29", "06-28", "07-28")]
    assert sum(report["dates"].values()) == report["examples"] == sum(part.num_rows for part in parts.values())
    people = {name: set(part["who"].to_pylist()) for name, part in parts.items()}
    assert sum(map(len, people.values())) == len(set().union(*people.values()))
    rows = {(row["who"], row["_as_of"]) for part in parts.values() for row in part.to_pylist()}
    assert len(rows) == report["examples"]
    one = run(tmp_path / "derive.sql", {"records": orders()}, datetime(2020, 5, 29)).to_pylist()
    found = [
        {name: row[name] for name in COLUMNS}
        for part in parts.values()
        for row in part.to_pylist()
        if row["_as_of"] == datetime(2020, 5, 29)
    ]
    assert sorted(found, key=lambda row: row["who"]) == one


def test_forward_in_time_no_label_of_train_reaches_into_the_time_of_a_later_side(tmp_path):
    dates = {"time": "when", "days_before_end": 30, "every_days": 15, "count": 8}
    for key, left in [([], 0), ("who", 1)]:
        split = {"by": "time", "key": key, "validation": 0.25, "test": 0.2}
        parts, report = made(tmp_path, SOUND, as_of=dates, split=split, leaks={"duplicates": "drop"})
        at = {name: set(part["_as_of"].to_pylist()) for name, part in parts.items()}
        assert all(at.values()), report
        horizon = timedelta(days=30)
        assert max(at["train"]) + horizon <= min(at["validation"])
        assert max(at["validation"]) + horizon <= min(at["test"])
        assert report["split"]["left_out"] > 0
        people = [set(part["who"].to_pylist()) for part in parts.values()]
        assert (sum(map(len, people)) == len(set().union(*people))) == bool(left)
        pairs = {(row["who"], row["_group"]) for part in parts.values() for row in part.to_pylist()}
        assert len(pairs) == len({who for who, _ in pairs}) == len({group for _, group in pairs})


def test_dates_too_close_for_their_horizon_leave_no_training_rows_and_the_verdict_says_why(tmp_path):
    dates = {"time": "when", "days_before_end": 30, "every_days": 10, "count": 3}
    reasons = made(tmp_path, SOUND, as_of=dates, split={"by": "time"}, leaks={"duplicates": "drop"})[1]["reasons"]
    assert reasons[0].startswith("train and validation has no row: ")
    assert "each side begins 30 days after the one before it ends" in reasons[0]
    assert "dates further apart (as_of.every_days: 30)" in reasons[0]


def test_dates_before_the_first_record_are_refused_with_how_many_are_possible():
    with pytest.raises(
        DataError, match=r"reaches back to 2019-12-01.*At most count: 4 is possible with every_days: 60"
    ):
        cut_offs(orders(), AsOf(time="when", days_before_end=30, every_days=60, count=5))
    with pytest.raises(DataError, match=r"the cut-off 2019-12-30 lies before the first when, 2020-01-01"):
        cut_offs(orders(), AsOf(time="when", days_before_end=241))


RETAIL = Path(__file__).parents[2] / "sources" / "retail" / "derive.sql"
RETAIL_AS_OF = datetime(2011, 9, 1)
LINES = st.tuples(
    st.sampled_from(["500001", "500002", "500003", "C500004", "C500005", "A500006"]),
    st.sampled_from(["10001", "10002", "POST", "DCGS1"]),
    st.sampled_from([-6.0, -1.0, 0.0, 1.0, 6.0]),
    st.sampled_from([0.5, 2.5, 90.0]),
    st.sampled_from(["1", "2", "3"]),
)
PAST = st.tuples(LINES, st.integers(-400 * 1440, -1))
FUTURE = st.tuples(LINES, st.integers(0, 200 * 1440))


def invoices(lines: list[tuple[tuple, int]]) -> pa.Table:
    names = ["InvoiceNo", "StockCode", "Quantity", "UnitPrice", "CustomerID"]
    plain = [line for line, _ in lines]
    columns = {name: [line[i] for line in plain] for i, name in enumerate(names)}
    types = dict(zip(names, [pa.string(), pa.string(), pa.float64(), pa.float64(), pa.string()], strict=True))
    table = {name: pa.array(values, types[name]) for name, values in columns.items()}
    times = pa.array([RETAIL_AS_OF + timedelta(minutes=minute) for _, minute in lines], pa.timestamp("us"))
    return pa.table({**table, "InvoiceDate": times, "Country": pa.array(["UK"] * len(lines), pa.string())})


@settings(max_examples=25, deadline=None)
@given(st.lists(PAST, max_size=15), st.lists(FUTURE, max_size=10), st.lists(FUTURE, max_size=10))
def test_no_future_of_retail_whatever_it_is_changes_a_feature(past, future, other):
    one, two = (
        run(RETAIL, {"records": invoices(past + late)}, RETAIL_AS_OF).drop(["buys_again"]) for late in (future, other)
    )
    assert one.equals(two)


@settings(max_examples=15, deadline=None)
@given(st.lists(PAST, max_size=12), st.lists(FUTURE, max_size=12), st.lists(FUTURE, max_size=8))
def test_what_lies_behind_retails_ninety_days_changes_no_label(past, future, later):
    behind = [(line, minute + 90 * 1440) for line, minute in later]
    within = [(line, minute % (90 * 1440)) for line, minute in future]
    one, two = (run(RETAIL, {"records": invoices(past + within + late)}, RETAIL_AS_OF) for late in ([], behind))
    assert one.equals(two)


def test_serving_derives_what_training_derived_whatever_comes_later(tmp_path):
    """From a CSV as the user has it, with records from after the date and without."""
    rng = np.random.default_rng(5)
    lines = []
    for _ in range(400):
        invoice, product = rng.choice(["500001", "500002", "500003", "C500004"]), rng.choice(["10001", "10002", "POST"])
        pieces = float(rng.integers(1, 9)) * (-1 if invoice[0] == "C" else 1)
        line = (str(invoice), str(product), pieces, float(rng.integers(1, 999)) / 100, str(rng.integers(1, 30)))
        lines.append((line, int(rng.integers(-300 * 1440, 90 * 1440))))
    columns = load(Path(__file__).parents[2] / "params.yaml", "retail").columns
    contract = {"reader": {"format": "csv"}, "records": [column.describe(name) for name, column in columns.items()]}
    trained = run(RETAIL, {"records": invoices(lines)}, RETAIL_AS_OF).drop(["buys_again"]).to_pylist()
    assert len(trained) > 20
    for name, known in [("all", lines), ("past", [line for line in lines if line[1] < 0])]:
        path = tmp_path / f"{name}.csv"
        write_csv(path, known)
        rows, left_out = derive(contract, path, RETAIL_AS_OF, RETAIL.parent)
        assert not left_out
        assert [{key: value for key, value in row.items() if key != "buys_again"} for row in rows] == trained


def write_csv(path: Path, lines: list[tuple[tuple, int]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["InvoiceNo", "StockCode", "Quantity", "UnitPrice", "CustomerID", "InvoiceDate", "Country", "Description"]
        )
        for line, minute in lines:
            when = RETAIL_AS_OF + timedelta(minutes=minute)
            writer.writerow([*line, when.strftime("%m/%d/%Y %H:%M"), "UK", "a thing"])


SECRET = pa.table({"mail": ["1", "ada@example.org"], "at": pa.array([START, START], pa.timestamp("us"))})


def failure(folder: Path, query: str, personal: list[str]) -> str:
    (folder / "derive.sql").write_text(query, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        run(folder / "derive.sql", {"records": SECRET}, None, personal=personal)
    return str(caught.value)


def test_what_duckdb_says_of_a_personal_value_is_withheld(tmp_path: Path) -> None:
    query = "select mail::double as x from records"
    assert "ada@example.org" in failure(tmp_path, query, [])
    said = failure(tmp_path, query, ["mail", "name"])
    assert "ada@example.org" not in said
    assert "ConversionException, whose text is withheld" in said
    assert "(mail, name)" in said


def test_what_duckdb_says_of_the_query_itself_is_told_all_the_same(tmp_path: Path) -> None:
    assert 'Referenced column "mial" not found' in failure(tmp_path, "select mial from records", ["mail"])
    pivoted = "select mial from (pivot records on mail using count(*))"  # its columns are named by values
    assert "ada@example.org" not in failure(tmp_path, pivoted, ["mail"])


def test_a_query_that_fails_without_the_future_quotes_nobody(tmp_path: Path) -> None:
    query = """select coalesce(max(mail) filter ("at" >= $as_of)::double, max(mail)::double) as x from records"""
    times = pa.array([START - timedelta(days=1), START + timedelta(days=1)], pa.timestamp("us"))
    records = pa.table({"mail": ["ada@example.org", "1"], "at": times})
    names = SimpleNamespace(time="at", target="y", ids=[], shown=[], personal=["mail"], horizon_days=30)
    path = tmp_path / "derive.sql"
    path.write_text(query, encoding="utf-8")
    found = reasons(path, records, pa.table({"x": [1.0]}), START, names)
    assert len(found) == 1
    assert "ConversionException, whose text is withheld" in found[0]
    assert "ada@example.org" not in found[0]


@pytest.mark.parametrize("personal", [False, True])
def test_a_bundles_query_quotes_no_personal_value(tmp_path: Path, personal: bool) -> None:
    (tmp_path / "derive.sql").write_text("select mail::double as x, $as_of as at from records", encoding="utf-8")
    (tmp_path / "records.csv").write_text("mail\nada@example.org\n", encoding="utf-8")
    column = {"name": "mail", "type": "id", **({"personal": True} if personal else {})}
    contract = {"reader": {"format": "csv"}, "records": [column]}
    with pytest.raises(InputError, match=r"cannot be run on these records: .*Conversion") as caught:
        derive(contract, tmp_path / "records.csv", START, tmp_path)
    assert ("ada@example.org" in str(caught.value)) is not personal
