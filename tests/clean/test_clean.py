"""Every record in is kept, rejected with its rules, or merged; what comes in does not change what is kept."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.clean import clean
from stages.contract import Contract
from stages.contract.loader import declare
from stages.core import parts
from stages.ingest import MALFORMED

DECLARED = {
    "who": {"type": "id", "required": True},
    "amount": {"type": "number", "required": True, "min": 0, "max": 100},
    "colour": {"type": "category", "values": {"red": ["R"], "blue": []}},
    "when": {"type": "timestamp"},
}
COLUMNS = {name: declare(name, column) for name, column in DECLARED.items()}
RAW = [  # who, amount, colour, when
    ("a", "1", "red", "2011-05-01"),
    ("a", " +1.0 ", "R", "2011-05-01T00:00"),  # the same, spelled otherwise
    ("b", "12 pcs", "red", ""),
    ("c", "-1", "green", ""),
    ("", "5", "blue", "2011-05-01"),
    ("d", "NA", "", "2011-02-30"),
    ("e", "100", "", None),
    ("e", "1e2", None, "NaN"),  # the same again
    ("f", "101", "blue", "2011-05-01"),
    ("ü", "0", "blue", "2011-05-01"),
    ("NULL", "x", "Red", "yesterday"),
    ("g", "2", "red", "2011-05-01"),
]
REJECTED = {
    3: ["amount.number"],
    4: ["amount.min", "colour.values"],
    5: ["who.required"],
    6: ["amount.required", "when.timestamp"],
    9: ["amount.max"],
    11: ["who.required", "amount.number", "colour.values", "when.timestamp"],
}


SCHEMA = pa.schema(
    [(name, pa.int64() if name == "_record" else pa.string()) for name in (*COLUMNS, "_file", "_record")]
)


def run(
    folder: Path, raw: list[tuple], malformed: int = 0, split: int | None = None, **section: Any
) -> tuple[dict, pa.Table, pa.Table]:
    """The report, the table and the rejects of these raw records; `split` begins a second part there."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "parts").mkdir(parents=True)
    rows = [dict(zip(SCHEMA.names, (*row, "raw.csv", i), strict=True)) for i, row in enumerate(raw, 1)]
    for place, part in enumerate([rows] if split is None else [rows[:split], rows[split:]]):
        pq.write_table(pa.Table.from_pylist(part, SCHEMA), folder / "parts" / f"{place:05d}-raw.csv.parquet")
    broken = [{"_file": "raw.csv", "_record": 100 + i, "text": "x", "reason": "ragged"} for i in range(malformed)]
    pq.write_table(pa.Table.from_pylist(broken, MALFORMED), folder / "malformed.parquet")
    out = folder / "out"
    (out / "table").mkdir(parents=True)
    report = clean(folder, contract(**section), folder, out)
    return report, parts.read(out / "table"), pq.read_table(out / "rejects.parquet")


def contract(**section: Any) -> Contract:
    return Contract("shop", {"columns": DECLARED, "clean": section, "examples": {"target": {"column": "colour"}}})


def test_twelve_records_give_these_six_rows(tmp_path):
    _, table, _ = run(tmp_path, RAW)
    rows = [(row["who"], row["amount"], row["colour"], str(row["when"])) for row in table.to_pylist()]
    assert rows == [
        ("a", 1.0, "red", "2011-05-01 00:00:00"),
        ("a", 1.0, "red", "2011-05-01 00:00:00"),
        ("e", 100.0, None, "None"),
        ("e", 100.0, None, "None"),
        ("ü", 0.0, "blue", "2011-05-01 00:00:00"),
        ("g", 2.0, "red", "2011-05-01 00:00:00"),
    ]


def test_rejects_carry_the_raw_record_and_every_rule_it_broke(tmp_path):
    _, _, rejects = run(tmp_path, RAW)
    rows = rejects.to_pylist()
    assert {row["_record"]: sorted(row["_rules"]) for row in rows} == {k: sorted(v) for k, v in REJECTED.items()}
    assert [tuple(row[name] for name in COLUMNS) for row in rows] == [RAW[i - 1] for i in REJECTED]
    assert rejects.schema.field("_rules").type == pa.list_(pa.string())


def test_the_report_counts_each_rule_and_each_gap(tmp_path):
    report, _, _ = run(tmp_path, RAW, max_rejected={"amount.number": 0.5})
    assert report == {
        "records": 12,
        "kept": 6,
        "rejected": 6,
        "merged": 0,
        "rules": {
            "amount.max": 1,
            "amount.min": 1,
            "amount.number": 2,
            "amount.required": 1,
            "colour.values": 2,
            "when.timestamp": 2,
            "who.required": 2,
        },
        "missing": {"who": 0, "amount": 0, "colour": 2, "when": 2},
        "clipped": {},
        "duplicates": {"rows": 2, "groups": 2, "then": "keep"},
        "contradictions": {"rows": 0, "groups": 0, "then": "report"},
        "max_rejected": {"default": 0.01, "amount.number": 0.5},
    }


def test_merging_keeps_the_first_of_equal_rows_after_typing(tmp_path):
    report, table, _ = run(tmp_path, RAW, duplicates="merge")
    assert table["who"].to_pylist() == ["a", "e", "ü", "g"]
    assert (report["kept"], report["rejected"], report["merged"]) == (4, 6, 2)


def test_malformed_lines_are_records_that_were_rejected(tmp_path):
    report, table, rejects = run(tmp_path, RAW, malformed=3)
    assert (report["records"], report["kept"], report["rejected"]) == (15, 6, 9)
    assert report["rules"]["malformed"] == 3
    assert (table.num_rows, rejects.num_rows) == (6, 6)


def test_batches_change_nothing_and_duplicates_are_found_across_them(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", RAW, malformed=1, duplicates="merge")
    monkeypatch.setattr("stages.core.parts.BATCH_ROWS", 1)
    split = run(tmp_path / "split", RAW, malformed=1, duplicates="merge")
    assert split[0] == whole[0]
    assert split[1].equals(whole[1])
    assert split[2].equals(whole[2])


def test_when_all_is_rejected_an_empty_table_still_has_its_columns(tmp_path):
    report, table, rejects = run(tmp_path, [RAW[2], RAW[3]])
    assert (table.num_rows, rejects.num_rows, report["kept"]) == (0, 2, 0)
    assert table.column_names == list(COLUMNS)
    assert table.schema.field("amount").type == pa.float64()


def test_when_nothing_is_rejected_the_rejects_still_have_their_columns(tmp_path):
    _, _, rejects = run(tmp_path, [RAW[0]])
    assert rejects.num_rows == 0
    assert rejects.column_names == [*COLUMNS, "_file", "_record", "_rules"]


def as_raw(table: pa.Table) -> list[tuple]:
    return [tuple(None if value is None else str(value) for value in row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("merge", [False, True])
def test_cleaning_what_was_cleaned_changes_nothing(tmp_path, merge):
    _, once, _ = run(tmp_path / "once", RAW, duplicates="merge" if merge else "keep")
    report, twice, rejects = run(tmp_path / "twice", as_raw(once), duplicates="merge" if merge else "keep")
    assert twice.equals(once)
    assert (rejects.num_rows, report["merged"]) == (0, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clean")


@settings(max_examples=25, deadline=None)
@given(st.permutations(RAW), st.booleans(), st.integers(0, 12))
def test_the_order_of_the_records_changes_neither_counts_nor_rows(folder, order, merge, malformed):
    expected, table, _ = run(folder, RAW, malformed, duplicates="merge" if merge else "keep")
    report, permuted, rejects = run(folder, order, malformed, duplicates="merge" if merge else "keep")
    assert report == expected
    assert report["kept"] + report["rejected"] + report["merged"] == report["records"] == 12 + malformed
    assert sorted(as_raw(permuted), key=str) == sorted(as_raw(table), key=str)
    assert rejects.num_rows == 6
