"""Rejects that somebody corrected come back as records; what is personal is masked on its way out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clean_project import run

from stages.core.errors import DataError

COLUMNS = {
    "name": {"type": "text", "personal": True},
    "mail": {"type": "id", "personal": True, "pattern": ".+@.+"},
    "amount": {"type": "number", "required": True, "min": 0},
}
ROWS = [("Ann", "ann@x.org", "1"), ("Bob", "bob", "12 pcs"), (None, "c@x.org", "-3"), ("Dan", "d@x.org", "4")]


def test_what_is_personal_is_masked_in_rejects(tmp_path):
    report, _, rejects = run(tmp_path, COLUMNS, ROWS)
    assert rejects.select(["name", "mail", "amount", "_record", "_rules"]).to_pylist() == [
        {"name": "•••", "mail": "•••", "amount": "12 pcs", "_record": 2, "_rules": ["mail.pattern", "amount.number"]},
        {"name": None, "mail": "•••", "amount": "-3", "_record": 3, "_rules": ["amount.min"]},
    ]
    assert "bob" not in str(report)


def test_corrected_rejects_come_back(tmp_path):
    (tmp_path / "mended.csv").write_text(
        "_file,_record,amount,mail\nraw.csv,2,12,bob@x.org\nraw.csv,9,5,e@x.org\nraw.csv,77,1,nobody@x.org\n"
    )
    report, table, rejects = run(tmp_path, COLUMNS, ROWS, malformed=[9, 10], corrections="mended.csv")
    assert sorted(table["amount"].to_pylist()) == [1, 4, 5, 12]
    assert [row["name"] for row in table.to_pylist() if row["amount"] == 12] == ["Bob"]  # a column not given stays
    assert rejects["_record"].to_pylist() == [3]
    assert (report["records"], report["kept"], report["rejected"]) == (6, 4, 2)
    assert report["rules"] == {"amount.min": 1, "malformed": 1}
    assert report["corrections"] == {"given": 3, "used": 2, "unused": ["77 of raw.csv"]}


def test_rejects_can_be_corrected_in_their_own_format_and_wrong_ones_are_rejected_again(tmp_path):
    _, _, rejects = run(tmp_path, COLUMNS, ROWS)
    mended = rejects.drop_columns(["name", "mail"]).set_column(0, "amount", pa.array(["7", "seven"]))
    pq.write_table(mended, tmp_path / "mended.parquet")
    report, table, again = run(tmp_path, COLUMNS, ROWS, corrections="mended.parquet")
    assert table["amount"].to_pylist() == [1, 4]  # record 2 still has a wrong mail
    assert {row["_record"]: row["_rules"] for row in again.to_pylist()} == {2: ["mail.pattern"], 3: ["amount.number"]}
    assert report["corrections"] == {"given": 2, "used": 2}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("_file,_record,amonut\nraw.csv,2,1\n", "corrects 'amonut', which is not declared. Did you mean 'amount'"),
        ("_record,amount\n2,1\n", "has no column _file"),
        ("_file,_record,amount\nraw.csv,2,1\nraw.csv,2,3\n", "corrects record 2 of raw.csv twice"),
        ("_file,_record,amount\nraw.csv,two,1\n", "_record is not a number"),
        ("_file,_record,mail\nraw.csv,2,•••\n", "record 2 of raw.csv.*is masked"),
    ],
)
def test_corrections_that_make_no_sense_are_refused(tmp_path, content, told):
    (tmp_path / "mended.csv").write_text(content)
    with pytest.raises(DataError, match=told):
        run(tmp_path, COLUMNS, ROWS, corrections="mended.csv")


def test_a_missing_file_is_told_of_with_where_to_make_it_from(tmp_path: Path):
    with pytest.raises(DataError, match=r"mended\.csv does not exist.*rejects\.parquet"):
        run(tmp_path, COLUMNS, ROWS, corrections="mended.csv")


def test_a_corrected_line_that_is_gone_from_the_source_is_gone_from_the_table(tmp_path):
    (tmp_path / "mended.csv").write_text("_file,_record,amount\nraw.csv,9,5\n")
    _, table, _ = run(tmp_path, COLUMNS, ROWS, malformed=[9], corrections="mended.csv")
    assert 5 in table["amount"].to_pylist()
    report, table, _ = run(tmp_path, COLUMNS, ROWS, malformed=[], corrections="mended.csv")  # the same store
    assert 5 not in table["amount"].to_pylist()
    assert (report["records"], report["rejected"], report["corrections"]["used"]) == (4, 2, 0)


def test_a_file_of_which_nothing_could_be_read_is_corrected_too(tmp_path):
    (tmp_path / "mended.csv").write_text("_file,_record,amount\nother.csv,1,5\n")
    run(tmp_path, COLUMNS, ROWS)  # writes the records
    broken = [{"_file": "other.csv", "_record": 1, "_line": 1, "text": "x", "reason": "ragged"}]
    report, table, _ = run(tmp_path, COLUMNS, ROWS, broken=broken, corrections="mended.csv")
    assert sorted(table["amount"].to_pylist()) == [1, 4, 5]
    assert (report["records"], report["rejected"]) == (5, 2)


def test_typed_columns_of_many_batches_take_corrections(tmp_path, monkeypatch):
    """Where a correction is no number, its column is text in every batch, and the rejects have one schema."""
    monkeypatch.setattr("stages.core.parts.BATCH_ROWS", 2)
    columns = {"amount": {"type": "number", "min": 0}, "when": {"type": "timestamp", "format": "%d/%m/%Y"}}
    schema = pa.schema([("amount", pa.int64()), ("when", pa.timestamp("us"))])
    (tmp_path / "mended.csv").write_text("_file,_record,amount,when\nraw.csv,2,x,\nraw.csv,3,8,2011-05-01\n")
    rows = [(-1, None), (2, None), (-3, None), (4, None), (-5, None)]
    report, table, rejects = run(tmp_path, columns, rows, schema=schema, corrections="mended.csv")
    assert table["amount"].to_pylist() == [8, 4]
    assert table["when"].cast(pa.int64()).to_pylist() == [1_304_208_000_000_000, None]
    assert rejects["_rules"].to_pylist() == [["amount.min"], ["amount.number"], ["amount.min"]]
    assert report["corrections"] == {"given": 2, "used": 2}
