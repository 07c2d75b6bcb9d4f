"""Parquet and Arrow files, alone and in folders: types stay, folders name columns, damage names the file."""

import datetime
import io
import os

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from stages.core.errors import DataError
from stages.ingest import parquet


@pytest.fixture
def rows(reader):
    return reader(parquet)


def as_parquet(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def as_arrow(table: pa.Table, *, stream: bool = False) -> bytes:
    out = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


TABLE = pa.table(
    {
        "day": pa.array([datetime.datetime(2020, 1, 31, 12), None], pa.timestamp("us")),
        "n": pa.array([7, None], pa.int64()),
        "word": pa.array(["é", ""], pa.large_string()),
        "kind": pa.array(["a", "b"]).dictionary_encode(),
    }
)
EXPECTED = [
    {"day": datetime.datetime(2020, 1, 31, 12), "n": 7, "word": "é", "kind": "a", "_file": "t", "_record": 1},
    {"day": None, "n": None, "word": "", "kind": "b", "_file": "t", "_record": 2},
]
FORMS = {
    "parquet": as_parquet(TABLE),
    "arrow file": as_arrow(TABLE),
    "arrow stream": as_arrow(TABLE, stream=True),
}


@pytest.mark.parametrize("form", FORMS)
def test_values_keep_their_types(rows, form):
    records, malformed = rows({"t": FORMS[form]})
    assert records == EXPECTED
    assert malformed == []


def test_feather_is_read(rows, tmp_path):
    pyarrow.feather.write_feather(TABLE, tmp_path / "t.feather")
    records, _ = rows({"t": (tmp_path / "t.feather").read_bytes()})
    assert records == EXPECTED


@pytest.mark.parametrize("form", FORMS)
def test_declared_columns_alone_are_read_and_the_others_named(run, form):
    report, records, _ = run({"t": FORMS[form]}, {"format": "parquet"}, {"n": {"type": "number"}})
    assert records == [{"n": 7, "_file": "t", "_record": 1}, {"n": None, "_file": "t", "_record": 2}]
    assert report["columns_left_out"] == ["day", "kind", "word"]


def test_folders_called_key_value_become_text_columns(rows):
    one = as_parquet(pa.table({"n": [1]}))
    files = {
        "year=2020/city=S%C3%A3o%20Paulo/a.parquet": one,
        "year=2021/city=__HIVE_DEFAULT_PARTITION__/a.parquet": one,
    }
    records, _ = rows(files, files="**/*.parquet")
    assert [(row["year"], row["city"], row["n"]) for row in records] == [("2020", "São Paulo", 1), ("2021", None, 1)]


def test_files_of_narrower_types_or_fewer_columns_fit_the_others(rows):
    files = {
        "a": as_parquet(pa.table({"n": pa.array([1], pa.int32()), "gone": pa.array([None], pa.null())})),
        "b": as_parquet(pa.table({"n": pa.array([2**40], pa.int64()), "gone": ["x"], "new": [1.5]})),
    }
    records, _ = rows(files)
    assert [(row["n"], row["gone"], row["new"]) for row in records] == [(1, None, None), (2**40, "x", 1.5)]


def test_files_of_other_types_are_a_data_error_that_names_the_second(run):
    files = {"a": as_parquet(pa.table({"n": [1]})), "b": as_parquet(pa.table({"n": ["x"]}))}
    with pytest.raises(DataError, match=r"b has columns of other types .*Field n has incompatible types: int64 vs str"):
        run(files, {"format": "parquet"}, {"n": {"type": "number"}})


def test_an_absent_column_is_named_with_the_nearest(run):
    with pytest.raises(DataError, match=r"t has no column 'words'.*Did you mean 'word'\?"):
        run({"t": FORMS["parquet"]}, {"format": "parquet"}, {"words": {"type": "text"}})


def test_columns_that_some_files_lack_are_null_there_and_told_of(run):
    files = {"a": as_parquet(pa.table({"n": [1]})), "b": as_parquet(pa.table({"n": [2], "word": ["x"]}))}
    report, records, _ = run(files, {"format": "parquet"}, {"n": {"type": "number"}, "word": {"type": "text"}})
    assert [(row["n"], row["word"]) for row in records] == [(1, None), (2, "x")]
    assert report["columns_absent"] == {"a": ["word"]}


@pytest.mark.parametrize("within", [pa.array([2021], pa.int16()), pa.array(["2021"]), pa.nulls(1)])
def test_a_folder_gives_its_value_also_where_other_files_hold_the_column_themselves(run, within):
    files = {
        "year=2020/a.parquet": as_parquet(pa.table({"n": [1]})),
        "z.parquet": as_parquet(pa.table({"n": [2], "year": within})),
    }
    columns = {"n": {"type": "number"}, "year": {"type": "text"}}
    report, records, _ = run(files, {"format": "parquet"}, columns)
    assert [str(row["year"]) for row in records] == ["2020", str(within[0])]
    assert "columns_absent" not in report


def test_a_folder_that_cannot_be_of_the_files_type_is_a_data_error(run):
    files = {"year=old/a": as_parquet(pa.table({"n": [1]})), "z": as_parquet(pa.table({"year": [2021]}))}
    with pytest.raises(DataError, match=r"year=old/a: the folder year=old is no int64, which year is within other"):
        run(files, {"format": "parquet"}, {"year": {"type": "number"}})


LONG = pa.table({"n": [int.from_bytes(os.urandom(7)) for _ in range(20_000)]})
WHOLE = as_parquet(LONG, write_page_checksum=True)
BROKEN = {
    "cut off": WHOLE[:-7],
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "a byte in the middle": WHOLE[:5000] + bytes([WHOLE[5000] ^ 255]) + WHOLE[5001:],
    "the footer": WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1",
    "csv": b"a,b\n1,2\n",
    "empty": b"",
    "arrow cut off": as_arrow(LONG)[:-20],
    "arrow stream cut off": as_arrow(LONG, stream=True)[:-30_000],
    "old feather": b"FEA1....FEA1",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_damaged_file_is_a_data_error_that_names_it(rows, kind):
    with pytest.raises(DataError, match=r"^folder/broken\.parquet .*(fetch it again|Write it as Parquet)\.$"):
        rows({"folder/broken.parquet": BROKEN[kind]})


def test_records_are_numbered_on_across_batches(rows, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH_ROWS", 3000)
    records, _ = rows({"t": WHOLE})
    assert [row["_record"] for row in records] == list(range(1, 20_001))
    assert [row["n"] for row in records] == LONG["n"].to_pylist()
