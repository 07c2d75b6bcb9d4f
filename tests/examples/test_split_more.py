"""Splits forward in time, and splits that keep the shares of the classes."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.contract import Contract
from stages.contract.section import parse
from stages.core.errors import ContractError, DataError
from stages.examples import Split, check
from stages.examples.settings import Section
from stages.examples.split import LEFT_OUT, SIDES, assign, hash_rows

START = datetime(2020, 1, 1)
DAYS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abcdefgh")), min_size=3, max_size=60)


def days(numbers: list[int], names: list[str] | None = None) -> pa.Table:
    times = pa.array([START + timedelta(days=number) for number in numbers], pa.timestamp("us"))
    names = names or [f"r{i}" for i in range(len(numbers))]
    return pa.table({"when": times, "name": names, "label": ["x"] * len(numbers)})


def by_time(table: pa.Table, **settings: Any) -> list[str]:
    split = parse(Split, {"by": "time", "column": "when", **settings}, "split")
    groups = hash_rows(table, split.keys or ["when", "name"])
    sides = assign(table, split, groups, target="label", time="when")
    return [SIDES[side] if side != LEFT_OUT else "-" for side in sides]


def test_the_newest_rows_are_the_test_and_those_before_them_validation():
    sides = by_time(days([3, 9, 0, 5, 1, 8, 2, 7, 4, 6]), validation=0.2, test=0.2)
    assert " ".join(sides) == "train test train train train test train validation train validation"


def test_equal_times_never_part():
    assert by_time(days([0, 1, 2, 2, 3, 3, 3, 3, 3, 3]), validation=0.2, test=0.1) == [
        *["train"] * 2,
        *["validation"] * 2,
        *["test"] * 6,
    ]


def test_declared_dates_are_the_borders_and_the_first_moment_belongs_to_the_later_side():
    settings = {"test_from": "2020-01-08", "validation_from": "2020-01-06"}
    expected = [*["train"] * 5, *["validation"] * 2, *["test"] * 3]
    assert by_time(days(list(range(10))), **settings) == expected
    assert by_time(days([*range(10), 30, 31]), **settings)[:10] == expected, "newer rows move nobody"


def test_a_gap_leaves_out_what_reaches_into_the_next_side():
    sides = by_time(days(list(range(12))), test_from="2020-01-11", validation_from="2020-01-06", gap_days=2)
    assert " ".join(sides) == "train train train train - validation validation validation validation - test test"


def test_with_a_key_no_group_crosses_either():
    names = [f"c{i}" for i in range(40)] * 3
    table = days([0] * 40 + [50] * 40 + [100] * 40, names)
    sides = by_time(table, key="name", validation=0.3, test=0.3)
    at = {side: {name for name, here in zip(names, sides, strict=True) if here == side} for side in SIDES}
    assert all(at.values())
    assert sum(map(len, at.values())) == len(set().union(*at.values()))
    assert {side: {i // 40 for i, here in enumerate(sides) if here == side} for side in SIDES} == {
        "train": {0},
        "validation": {1},
        "test": {2},
    }


@given(DAYS, st.integers(0, 6), st.sampled_from([0.0, 0.1, 0.3]), st.booleans())
def test_each_side_begins_a_gap_after_the_one_before_it(rows, gap, test, keyed):
    numbers, names = map(list, zip(*rows, strict=True))
    sides = by_time(days(numbers, names), gap_days=gap, test=test, validation=0.2, **({"key": "name"} if keyed else {}))
    at = {side: [day for day, here in zip(numbers, sides, strict=True) if here == side] for side in SIDES}
    for earlier, later in [("train", "validation"), ("validation", "test"), ("train", "test")]:
        if at[earlier] and at[later]:
            assert max(at[earlier]) + max(gap, 1) <= min(at[later])
    if keyed:
        placed = {(name, side) for name, side in zip(names, sides, strict=True) if side != "-"}
        assert len(placed) == len({name for name, _ in placed})
    elif gap == 0:
        assert "-" not in sides
    if test and not keyed:
        assert sides.count("test") >= test * len(rows)


def test_a_row_without_a_time_cannot_be_placed():
    table = days([1, 2, 3]).set_column(0, "when", pa.array([START, None, START], pa.timestamp("us")))
    with pytest.raises(DataError, match=r"when has no value in 1 of 3 rows.*required: true"):
        by_time(table)


def stratified(labels: list[Any], names: list[str], **settings: Any) -> np.ndarray:
    table = pa.table({"label": labels, "name": names})
    split = Split(by="stratified", **settings)
    return assign(table, split, hash_rows(table, ["name"]), target="label")


def test_each_class_has_the_shares_that_were_asked_for():
    labels = ["rare"] * 20 + ["common"] * 380
    sides = stratified(labels, [f"r{i}" for i in range(400)], validation=0.2, test=0.1)
    assert np.bincount(sides[:20]).tolist() == [14, 4, 2]
    assert np.bincount(sides[20:]).tolist() == [266, 76, 38]


def test_each_tenth_of_a_number_has_them_too():
    values = np.random.default_rng(0).exponential(size=1000)
    sides = stratified(values.tolist(), [f"r{i}" for i in range(1000)], validation=0.2, test=0.2)
    for tenth in np.array_split(np.argsort(values), 10):
        assert np.bincount(sides[tenth]).tolist() == [60, 20, 20]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 9)), min_size=1, max_size=40))
def test_stratified_groups_stay_together_and_the_order_of_groups_changes_nothing(rows):
    rows = sorted(rows, key=lambda row: row[1])
    labels, names = [label for label, _ in rows], [f"g{name}" for _, name in rows]
    sides = stratified(labels, names)
    assert len(set(zip(names, sides.tolist(), strict=True))) == len(set(names))
    # Groups the other way round, the rows of each in their order: a group's class is that of its first row.
    order = sorted(range(len(rows)), key=lambda i: -rows[i][1])
    assert stratified([labels[i] for i in order], [names[i] for i in order]).tolist() == sides[order].tolist()


BASE = {
    "columns": {
        "who": {"type": "id"},
        "when": {"type": "timestamp"},
        "amount": {"type": "number"},
        "note": {"type": "text"},
        "buys": {"type": "category", "values": ["yes", "no"]},
    },
    "validate": {},
    "examples": {"target": {"column": "buys"}},
}
AS_OF = {"time": "when", "days_before_end": 90}
DERIVED = {"derive": "derive.sql", "columns": BASE["columns"]}


def contract(**examples: Any) -> Contract:
    return Contract("shop", {**BASE, "examples": {**BASE["examples"], **examples}})


@pytest.mark.parametrize(
    "examples",
    [
        {"split": {"by": "time", "column": "when", "gap_days": 7}},
        {"split": {"by": "time", "column": "when", "test_from": "2020-06-01"}},
        {"split": {"by": "stratified"}, "leaks": {"duplicates": "together", "near": {"column": "note"}}},
        {"split": {"by": "hash"}, "leaks": {"groups": {"key": ["who"], "then": "together"}}},
        {"target": {"column": "amount", "type": "number"}},
        {**DERIVED, "as_of": {**AS_OF, "every_days": 90, "count": 4}, "split": {"by": "time", "key": "who"}},
        {**DERIVED, "as_of": {**AS_OF, "every_days": 30, "count": 4}, "split": {"by": "group", "key": "who"}},
        {**DERIVED, "as_of": {**AS_OF, "horizon_days": 30}, "split": {"by": "time", "gap_days": 30}},
    ],
)
def test_sound_sections_pass(examples):
    check(contract(**examples))


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"split": {"by": "time"}}, "name its timestamp"),
        ({"split": {"by": "time", "column": "amount"}}, "'amount' is a number; by: time needs a timestamp"),
        ({"split": {"by": "time", "column": "wen"}}, "Did you mean 'when'"),
        ({"split": {"by": "hash", "column": "when"}}, "a column is for by: official and by: time"),
        ({"split": {"test_where": {"whom": "new"}}}, "examples.split.test_where is 'whom', which is not declared"),
        (
            {"split": {"by": "time", "column": "when", "test_where": {"who": "new"}}},
            "no test_where beside by: time, which says itself what the test is",
        ),
        ({"split": {"gap_days": 3}}, "by: time beside test_from, validation_from or gap_days"),
        ({"split": {"by": "time", "column": "when", "test_from": "soon"}}, "a date such as 2011-09-01"),
        ({"split": {"by": "time", "column": "when", "validation_from": "2020-01-01"}}, "a test_from beside"),
        (
            {"split": {"by": "time", "column": "when", "validation_from": "2020-02-01", "test_from": "2020-01-01"}},
            "a validation_from before test_from",
        ),
        ({"leaks": {"near": {"column": "amount"}}}, "type number has no near duplicates; expected one of type text"),
        ({"leaks": {"near": {"column": "nota"}}}, "Did you mean 'note'"),
        ({"leaks": {"groups": {"key": "whom"}}}, "Did you mean 'who'"),
        (
            {"split": {"by": "time", "column": "when"}, "leaks": {"duplicates": "together"}},
            "leaks.duplicates is together, but by: time says where each row belongs",
        ),
        ({"target": {"column": "amount"}}, "Declare target: {column: amount, type: number}"),
        ({"target": {"column": "buys", "type": "number"}}, "a number target needs a column of type number"),
        ({"target": {"column": "amount", "type": "number", "positive": "yes"}}, "no positive beside type: number"),
        ({"target": {"column": "amount", "type": "ranking"}}, "expected a history beside type: ranking"),
        ({"target": {"column": "buys", "soft": ["no", "yes"]}}, "names 'buys' as a soft label, and it is a category"),
        ({"target": {"column": "buys", "weight": "note"}}, "names 'note' as the weight of rows, and it is a"),
        ({**DERIVED, "as_of": {**AS_OF, "count": 3}}, "every_days and count"),
        ({**DERIVED, "as_of": {**AS_OF, "horizon_days": 91}}, "horizon_days no larger than days_before_end"),
        ({**DERIVED, "as_of": {**AS_OF, "every_days": 30, "count": 3}}, "by: hash would tear apart"),
        (
            {**DERIVED, "as_of": AS_OF, "split": {"by": "time", "gap_days": 30}},
            "gap_days is 30, but labels look 90 days ahead",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_fix(examples, message):
    with pytest.raises(ContractError) as caught:
        check(contract(**examples))
    assert message in str(caught.value)


def test_a_plain_yaml_date_and_a_quoted_one_are_the_same():
    from ruamel.yaml import YAML

    read = YAML(typ="safe", pure=True).load(
        "{by: time, column: when, test_from: 2020-06-01, validation_from: '2020-05-01'}"
    )
    split = parse(Section, {"target": {}, "split": read}, "examples").split
    assert (split.test_from, split.validation_from) == (datetime(2020, 6, 1), datetime(2020, 5, 1))
