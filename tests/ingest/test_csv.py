"""CSV as it is found, ugly: every line becomes a record or a malformed line with its place and reason."""

import shutil
from pathlib import Path

import pytest

from stages.contract import Contract
from stages.core.errors import ContractError, DataError
from stages.ingest import Raw, _text, csv, ingest
from stages.ingest.csv import Options


@pytest.fixture
def rows(reader):
    return reader(csv)


def test_values_stay_text_as_the_file_has_them(rows):
    records, malformed = rows({"a.csv": b"id,n\n007,1.50\n,NA\n x ,\n"})
    assert records == [
        {"id": "007", "n": "1.50", "_file": "a.csv", "_record": 1},
        {"id": "", "n": "NA", "_file": "a.csv", "_record": 2},
        {"id": " x ", "n": "", "_file": "a.csv", "_record": 3},
    ]
    assert malformed == []


def test_latin_1_is_read_where_it_is_declared(rows):
    records, _ = rows({"a.csv": "word\nCAFÉ £2\n".encode("latin-1")}, encoding="latin-1")
    assert [row["word"] for row in records] == ["CAFÉ £2"]


def test_gb18030_is_read_where_it_is_declared(rows):
    records, _ = rows({"a.csv": "名字,n\n李雷,1\n".encode("gb18030")}, encoding="gb18030")
    assert (records[0]["名字"], records[0]["n"]) == ("李雷", "1")


def test_an_unknown_encoding_is_a_contract_error(rows):
    with pytest.raises(ContractError, match="'utf-9', which Python does not know"):
        rows({"a.csv": b"a\n1\n"}, encoding="utf-9")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_the_first_name(rows, encoding):
    records, _ = rows({"a.csv": b"\xef\xbb\xbfid,n\n1,2\n"}, encoding=encoding)
    assert records == [{"id": "1", "n": "2", "_file": "a.csv", "_record": 1}]


def test_quoted_newlines_delimiters_and_quotes_stay_in_their_value(rows):
    records, malformed = rows({"a.csv": b'id,text\n1,"a\nb, ""c"""\n2,d\n'})
    assert [(row["id"], row["text"]) for row in records] == [("1", 'a\nb, "c"'), ("2", "d")]
    assert malformed == []


def test_a_quoted_newline_in_the_header_is_part_of_the_name(rows):
    records, _ = rows({"a.csv": b'id,"long\nname"\n1,2\n'})
    assert records[0]["long\nname"] == "2"


def test_windows_line_ends(rows):
    records, malformed = rows({"a.csv": b"id,n\r\n1,2\r\n3,4\r\n"})
    assert [(row["id"], row["n"]) for row in records] == [("1", "2"), ("3", "4")]
    assert malformed == []


def test_delimiter_and_quote_are_as_declared(rows):
    records, _ = rows({"a.csv": b"id;text\n1;'a;b'\n"}, delimiter=";", quote="'")
    assert records == [{"id": "1", "text": "a;b", "_file": "a.csv", "_record": 1}]


def test_ragged_lines_are_kept_with_their_reason_and_place(rows):
    records, malformed = rows({"a.csv": b"a,b\n1,2\n3\n4,5\n6,7,8\n9,10\n"})
    assert [(row["a"], row["_record"]) for row in records] == [("1", 1), ("4", 3), ("9", 5)]
    assert [(row["_file"], row["text"], row["reason"]) for row in malformed] == [
        ("a.csv", "3", "1 fields; the header has 2"),
        ("a.csv", "6,7,8", "3 fields; the header has 2"),
    ]
    assert [row["_record"] for row in malformed] == [2, 4]


def test_a_file_of_ragged_lines_alone_gives_no_record_and_loses_no_line(rows):
    records, malformed = rows({"a.csv": b"a,b\n1\n2\n"})
    assert records == []
    assert [row["text"] for row in malformed] == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b,a\n1,2,3\n", "the header has the columns a twice"),
        (b"", "the header is empty"),
        (b"\n1,2\n", "the header is empty"),
    ],
)
def test_a_header_that_cannot_name_columns_is_a_data_error(rows, content, message):
    with pytest.raises(DataError, match=message):
        rows({"a.csv": content})


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"PK\x03\x04\x14\x00\x00\x00\xff\xfe", b"\x1f\x8b\x08\x00\n\x00"],
    ids=["png", "zip", "gzip"],
)
def test_binary_content_is_a_data_error(rows, content):
    with pytest.raises(DataError, match=r"a\.csv"):
        rows({"a.csv": content})


def test_an_empty_folder_is_a_data_error(rows, tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(DataError, match=r"has no file that matches ingest\.files '\*\*/\*'"):
        rows({})


def test_files_are_read_in_order_of_their_paths_and_each_counts_from_one(rows):
    files = {"b.csv": b"a\n4\n", "a/z.csv": b"a\n1\n2\n", "a/b/c.csv": b"a\n0\n", "note.txt": b"not read"}
    records, _ = rows(files, files="**/*.csv")
    assert [(row["_file"], row["_record"], row["a"]) for row in records] == [
        ("a/b/c.csv", 1, "0"),
        ("a/z.csv", 1, "1"),
        ("a/z.csv", 2, "2"),
        ("b.csv", 1, "4"),
    ]


def test_places_run_on_across_blocks(rows, monkeypatch):
    monkeypatch.setattr(_text, "BLOCK_BYTES", 64)
    content = b"a,b\n" + b"".join(b"%d,x\n" % i if i % 7 else b"ragged\n" for i in range(1, 50))
    records, malformed = rows({"a.csv": content})
    assert [row["a"] for row in records] == [str(i) for i in range(1, 50) if i % 7]
    assert [row["_record"] for row in records] == [i for i in range(1, 50) if i % 7]
    assert [row["_record"] for row in malformed] == [7, 14, 21, 28, 35, 42, 49]


SHOP = Contract("shop", {"columns": {"id": {"type": "id"}, "amount": {"type": "number"}}})


def ingest_one(folder: Path, content: bytes) -> dict:
    (folder / "raw").mkdir(exist_ok=True)
    (folder / "raw" / "a.csv").write_bytes(content)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return ingest(Raw(folder / "raw", folder), csv, Options(format="csv", files="*.csv"), SHOP, out)


def test_undeclared_columns_are_left_out_and_named(tmp_path):
    report = ingest_one(tmp_path, b"note,amount,id\nx,1,a\ny\nz,2,b\n")
    assert report == {"files": 1, "parts": 1, "records": 2, "malformed": 1, "columns_left_out": ["note"]}


def test_a_declared_column_that_is_absent_is_named_with_the_nearest(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv has no column 'amount'.*Did you mean 'amounts'\?.*Found: id, amounts"):
        ingest_one(tmp_path, b"id,amounts\n1,2\n")


def test_no_record_at_all_is_a_data_error_with_the_count_of_malformed(tmp_path):
    with pytest.raises(DataError, match="no record could be read; 2 were malformed, the first because 1 fields"):
        ingest_one(tmp_path, b"id,amount\n1\n2\n")
    with pytest.raises(DataError, match="no record could be read; 0 were malformed"):
        ingest_one(tmp_path, b"id,amount\n")
