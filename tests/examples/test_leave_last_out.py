"""The query that docs/rankings.md shows, over events made by hand: whose last items are on which side."""

import re
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from stages.contract.loader import Contract
from stages.core.errors import ContractError
from stages.examples import check, make

ROOT = Path(__file__).parents[2]
EVENTS = [("ann", item) for item in "abcde"] + [("bob", item) for item in "cab"] + [("eve", "a"), ("eve", "b")]
RAW = {
    "columns": {
        "customer": {"type": "id"}, "item": {"type": "id"}, "time": {"type": "timestamp"},
    },
    "validate": {},
    "examples": {
        "derive": "derive.sql",
        "columns": {
            "customer": {"type": "id"}, "side": {"type": "category", "input": False},
            "past_items": {"type": "items", "required": True}, "next_items": {"type": "items"},
        },
        "target": {"column": "next_items", "type": "ranking", "history": "past_items"},
        "split": {"by": "official", "column": "side"},
    },
}  # fmt: skip


@pytest.fixture
def sources(tmp_path):
    *_, sql = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "rankings.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "derive.sql").write_text(sql)
    return tmp_path


def records(events):
    times = [datetime(2024, 1, 1 + place) for place in range(len(events))]
    customers, items = zip(*events, strict=True)
    return pa.table({"customer": customers, "item": items, "time": times})


def rows(table):
    return [(row["customer"], row["past_items"], row["next_items"]) for row in table.to_pylist()]


def test_each_users_last_item_is_test_and_no_history_holds_what_comes_later(sources):
    splits, report, _ = make(records(EVENTS), Contract("shop", RAW), sources)
    assert report["passed"], report["reasons"]
    assert rows(splits["test"]) == [
        ("ann", ["a", "b", "c", "d"], ["e"]), ("bob", ["c", "a"], ["b"]), ("eve", ["a"], ["b"])
    ]  # fmt: skip
    assert rows(splits["validation"]) == [("ann", ["a", "b", "c"], ["d"]), ("bob", ["c"], ["a"])]
    assert rows(splits["train"]) == [("ann", ["a", "b"], ["c"])]
    assert report["splits"]["test"] == {"rows": 3, "with_items": 3, "items": 3}


def test_a_side_without_next_items_is_refused(sources):
    (sources / "derive.sql").write_text(
        (sources / "derive.sql").read_text().replace("[any_value(next.item)]", "if(side = 'test', [], ['x'])")
    )
    _, report, _ = make(records(EVENTS), Contract("shop", RAW), sources)
    assert report["reasons"] == [
        "test has 3 rows, and none of them has an item in next_items; there is nothing to rank"
    ]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"history": "side"}, "history is 'side', which is a category; expected an items column that models see"),
        ({"history": "next_items"}, "which is the target itself, or input: false; expected an items column"),
        ({"type": "category", "history": None}, "'next_items' is a items; a category target needs"),
        ({"top": 0}, "examples.target.top is 0"),
        ({"positive": "a"}, "no positive beside type: ranking"),
    ],
)
def test_what_is_wrong_in_a_ranking_is_told(change, found):
    target = {key: value for key, value in {**RAW["examples"]["target"], **change}.items() if value is not None}
    contract = Contract("shop", {**RAW, "examples": {**RAW["examples"], "target": target}})
    with pytest.raises(ContractError, match=re.escape(found)):
        check(contract)
