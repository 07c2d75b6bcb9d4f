"""Rules between records: duplicates, keys, near duplicates, contradictions, outliers; within and across parts."""

import io
from typing import Any

import numpy as np
import pytest
from clean_project import run
from PIL import Image

from stages.clean.section import check
from stages.contract import Contract
from stages.core.errors import ContractError

SHOP = {
    "id": {"type": "id", "required": True},
    "note": {"type": "text"},
    "amount": {"type": "number"},
    "label": {"type": "category"},
}
ROWS = [  # id, note, amount, label
    ("a", "the room was clean and the staff was friendly", "1", "good"),
    ("b", "the room was clean and the staff was friendly!", "1", "good"),  # nearly a's note
    ("a", "the room was clean and the staff was friendly", "1.0", "good"),  # the first one again
    ("c", "cold breakfast", "2", "bad"),
    ("d", "cold breakfast", "2", "good"),  # contradicts c
    ("c", "another note altogether", "3", "bad"),  # c's id again
    ("e", None, "900", None),
    ("f", "cold breakfast", "2", None),  # no label: contradicts nobody
]


@pytest.fixture(params=[None, 1, 4, 7], ids=lambda split: f"second part from {split}")
def cleaned(request, tmp_path):
    def clean(**section: Any) -> tuple[dict, list[str], dict[int, list[str]]]:
        report, table, rejects = run(tmp_path / "clean", SHOP, ROWS, target="label", split=request.param, **section)
        rules = {row["_record"]: row["_rules"] for row in rejects.to_pylist()}
        assert report["kept"] + report["merged"] + report["rejected"] == len(ROWS)
        assert report["kept"] == table.num_rows
        assert report["rejected"] == len(rules)
        return report, table["id"].to_pylist(), rules

    return clean


def test_everything_is_reported_and_nothing_removed_unless_declared(cleaned):
    report, ids, rules = cleaned(near=[{"column": "note"}], outliers={"amount": {}})
    assert ids == ["a", "b", "a", "c", "d", "c", "e", "f"]
    assert rules == {}
    assert report["duplicates"] == {"rows": 1, "groups": 1, "then": "keep"}
    assert report["contradictions"] == {"rows": 2, "groups": 1, "then": "report"}
    assert report["near_duplicates"] == {"note": {"rows": 4, "groups": 2, "then": "report"}}
    assert (report["outliers"]["amount"]["rows"], report["outliers"]["amount"]["then"]) == (1, "report")


def test_exact_duplicates_merge_into_the_first(cleaned):
    report, ids, rules = cleaned(duplicates="merge")
    assert ids == ["a", "b", "c", "d", "c", "e", "f"]
    assert (report["merged"], rules) == (1, {})


@pytest.mark.parametrize(
    ("keep", "then", "ids", "gone"),
    [
        ("first", "reject", ["a", "b", "c", "d", "e", "f"], [3, 6]),
        ("last", "reject", ["b", "a", "d", "c", "e", "f"], [1, 4]),
        ("first", "merge", ["a", "b", "c", "d", "e", "f"], []),
        ("first", "report", ["a", "b", "a", "c", "d", "c", "e", "f"], []),
    ],
)
def test_of_one_key_one_record_stays(cleaned, keep, then, ids, gone):
    report, found, rules = cleaned(key={"columns": "id", "keep": keep, "then": then})
    assert found == ids
    assert rules == {record: ["duplicate_key"] for record in gone}
    assert report["duplicate_keys"] == {"rows": 2, "groups": 2, "without_key": 0, "then": then}
    assert report["rules"] == ({"duplicate_key": 2} if gone else {})


def test_a_merged_duplicate_is_not_rejected_too(cleaned):
    report, ids, rules = cleaned(duplicates="merge", key={"columns": ["id"]})
    assert ids == ["a", "b", "c", "d", "e", "f"]
    assert (report["merged"], rules) == (1, {6: ["duplicate_key"]})


def test_contradicting_records_are_rejected_where_declared_with_their_raw_values(cleaned):
    report, ids, rules = cleaned(contradictions="reject")
    assert ids == ["a", "b", "a", "c", "e", "f"]
    assert rules == {4: ["contradiction"], 5: ["contradiction"]}
    assert report["rules"] == {"contradiction": 2}


def test_near_duplicates_merge_where_declared(cleaned):
    _, ids, _ = cleaned(near=[{"column": "note", "then": "merge"}])
    assert ids == ["a", "c", "c", "e"]


def test_outliers_are_rejected_where_declared(cleaned):
    report, ids, rules = cleaned(outliers={"amount": {"iqr": 3, "then": "reject"}})
    assert ids == ["a", "b", "a", "c", "d", "c", "f"]
    assert rules == {7: ["amount.outlier"]}
    assert report["outliers"]["amount"] == {"rows": 1, "low": -2.75, "high": 6.0, "then": "reject"}


def test_no_row_is_told_of_twice(cleaned):
    report, ids, rules = cleaned(
        duplicates="merge", key={"columns": "id"}, contradictions="reject", outliers={"amount": {"then": "reject"}}
    )
    assert ids == ["a", "b", "e", "f"]  # of the four amounts that are left, 900 is no outlier
    assert rules == {6: ["duplicate_key"], 4: ["contradiction"], 5: ["contradiction"]}
    assert (report["kept"], report["rejected"], report["merged"]) == (4, 3, 1)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_media_that_cannot_be_decoded_are_rejected_and_like_pictures_found(tmp_path):
    columns = {"picture": {"type": "image", "height": 32, "width": 32, "channels": 1, "required": True}}
    ramp = (120 + 60 * np.add.outer(np.sin(np.arange(64) / 5), np.cos(np.arange(64) / 9))).astype(np.uint8)
    other = np.random.default_rng(3).integers(0, 255, (64, 64)).astype(np.uint8)
    sound = png(ramp)
    rows = [(sound,), (png(np.clip(ramp.astype(int) + 3, 0, 255).astype(np.uint8)),), (png(other),)]
    rows += [(sound[: len(sound) // 2],), (b"GIF89a",), (b"",), (None,)]
    report, table, rejects = run(tmp_path / "c", columns, rows, near=[{"column": "picture", "then": "merge"}])
    assert (table.num_rows, report["merged"]) == (2, 1)
    assert [row["_rules"] for row in rejects.to_pylist()] == [["picture.image"]] * 3 + [["picture.required"]]


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"key": {"columns": "idd"}}, "key.columns names 'idd', which is not declared. Did you mean 'id'"),
        ({"near": [{"column": "amount"}]}, "a number; expected a text or image column"),
        ({"outliers": {"note": {}}}, "a text; expected a number column"),
        ({"max_rejected": {"contradictions": 0.1}}, "is no rule.*Did you mean 'contradiction'"),
        ({"duplicates": "drop"}, "keep"),
        ({"corrections": "../x.csv"}, "the name of a .csv or .parquet file"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section, told):
    with pytest.raises(ContractError, match=told):
        check(Contract("shop", {"columns": SHOP, "clean": section, "examples": {"target": {"column": "label"}}}))


def test_summaries_hold_64_bits_a_row_and_table(tmp_path):
    """What duplicates cost on disk and in memory: 8 bytes a row."""
    run(tmp_path / "c", SHOP, ROWS, duplicates="merge")
    summaries = list((tmp_path / "c" / "store").rglob("rows.npy"))
    assert [np.load(path).dtype for path in summaries] == [np.uint64]
    assert np.load(summaries[0]).shape == (len(ROWS),)


@pytest.mark.parametrize("split", [None, 2])
def test_records_without_a_key_are_not_one_thing(tmp_path, split):
    columns = {"id": {"type": "id"}, "name": {"type": "id"}}
    rows = [(None, "ann"), (None, "bob"), ("1", "cat"), (None, "dan"), ("1", "eve")]
    report, table, _ = run(tmp_path / "c", columns, rows, split=split, key={"columns": "id", "then": "merge"})
    assert table["name"].to_pylist() == ["ann", "bob", "cat", "dan"]
    assert report["duplicate_keys"] == {"rows": 1, "groups": 1, "without_key": 3, "then": "merge"}
