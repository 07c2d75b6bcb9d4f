"""Damaged CSV: each line that is no record is kept with its file, line and reason; all others are read."""

import gzip

import pytest
import zstandard

from stages.core.errors import DataError
from stages.ingest import _scan, _text, csv


@pytest.fixture
def rows(reader):
    return reader(csv)


def reasons(malformed: list[dict]) -> list[tuple]:
    return [(row["_record"], row["_line"], row["text"], row["reason"]) for row in malformed]


def test_bytes_of_another_encoding_spoil_their_own_line_alone_and_the_likely_encoding_is_named(rows):
    records, malformed = rows({"a.csv": b"word,n\nplain,1\n" + "CAFÉ £2,2\n".encode("latin-1") + b"tea,3\n"})
    assert [(row["word"], row["_record"]) for row in records] == [("plain", 1), ("tea", 3)]
    assert reasons(malformed) == [
        (2, 3, r"CAF\xc9 \xa32,2", "bytes that are not utf-8 text; if all are like this, set ingest.encoding: cp1252")
    ]
    assert malformed[0]["_file"] == "a.csv"


def test_bytes_that_fit_nothing_are_malformed_in_any_encoding(rows):
    records, malformed = rows({"a.csv": "名字,n\n李,1\n".encode("gb18030") + b"\xff\xff,2\n"}, encoding="gb18030")
    assert [row["n"] for row in records] == ["1"]
    assert reasons(malformed)[0][:3] == (2, 3, r"\xff\xff,2")
    assert reasons(malformed)[0][3].startswith("bytes that are not gb18030 text")


def test_a_header_in_another_encoding_is_a_data_error_that_names_it(rows):
    with pytest.raises(DataError, match=r"a\.csv: the header holds bytes .* looks like cp1252\. Set ingest\.encoding"):
        rows({"a.csv": "café,n\n1,2\n".encode("latin-1")})


def test_a_quote_that_is_never_closed_takes_its_own_line_alone(rows):
    records, malformed = rows({"a.csv": b'a,b\n1,2\n3,"four\n5,6\n7,8\n'})
    assert [row["a"] for row in records] == ["1", "5", "7"]
    assert [row["_record"] for row in records] == [1, 3, 4]
    assert reasons(malformed) == [(2, 3, '3,"four', 'a quote " is opened and never closed')]


def test_a_stray_quote_before_a_sound_one_takes_its_own_line_alone(rows):
    records, malformed = rows({"a.csv": b'a,b\n1,"two\n3,"four"\n5,"six\nseven"\n'})
    assert [(row["a"], row["b"]) for row in records] == [("3", "four"), ("5", "six\nseven")]
    assert [(line, text) for _, line, text, _ in reasons(malformed)] == [(2, '1,"two')]


def test_text_after_a_closing_quote_is_malformed_and_not_glued_together(rows):
    records, malformed = rows({"a.csv": b'a,b\n1,"say "hi" now"\n2,x\n'})
    assert [row["a"] for row in records] == ["2"]
    assert reasons(malformed) == [
        (1, 2, '1,"say "hi" now"', 'text after a closing quote "; a quote within a quoted value is written twice')
    ]


def test_a_quote_within_an_unquoted_value_is_a_character(rows):
    records, malformed = rows({"a.csv": b'a,b\n5" disk,1\n"x, y",2\n'})
    assert [row["a"] for row in records] == ['5" disk', "x, y"]
    assert malformed == []


def test_nul_bytes_are_malformed(rows):
    records, malformed = rows({"a.csv": b"a,b\n" + b"1,2\n" * 300 + b"3,\x00\n4,5\n"})
    assert len(records) == 301
    assert reasons(malformed) == [(301, 302, "3,\x00", "a NUL byte in it")]


def test_line_numbers_count_blank_lines_and_quoted_line_ends(rows):
    content = b'a,"b\nc"\n\n1,"x\r\ny"\n\n2\n\n3,4,5\n'
    records, malformed = rows({"a.csv": content})
    assert [(row["a"], row["_record"]) for row in records] == [("1", 1)]
    assert [(record, line, text) for record, line, text, _ in reasons(malformed)] == [(2, 7, "2"), (3, 9, "3,4,5")]


def test_a_ragged_record_is_kept_whole_with_its_quoted_line_ends(rows):
    _, malformed = rows({"a.csv": b'a,b\n1,2\n"x\ny"\n3,4\n'})
    assert reasons(malformed) == [(2, 3, '"x\ny"', "1 fields; the header has 2")]


def test_a_quote_that_would_swallow_hundreds_of_lines_gives_them_back(rows):
    content = b'a,b\n1,"open\n' + b"2,3\n" * 200 + b'4,5",6\n7,8\n'
    records, malformed = rows({"a.csv": content})
    assert len(records) == 201  # nothing between the two stray quotes is lost
    assert [line for _, line, _, _ in reasons(malformed)] == [2, 203]


def test_a_long_quoted_text_is_one_record(rows):
    text = "line\n" * 500
    records, malformed = rows({"a.csv": f'a,b\n1,"{text}"\n2,x\n'.encode()})
    assert [row["b"] for row in records] == [text, "x"]
    assert malformed == []


@pytest.mark.parametrize("size", [7, 16, 61])
def test_damage_is_the_same_wherever_blocks_end(rows, monkeypatch, size):
    content = (
        b'\xef\xbb\xbfa,b\r\n1,"x\r\ny"\r\n2\r\n"",""\r\n3,"a""b"\r\n\xff,1\r\n5,"q" r\r\n'
        + "6,né\r\n".encode()
        + b'7,"end'
    )
    whole = rows({"a.csv": content})
    assert [row["a"] for row in whole[0]] == ["1", "", "3", "6"]
    assert [row["_line"] for row in whole[1]] == [4, 7, 8, 10]
    monkeypatch.setattr(_text, "BLOCK_BYTES", size)
    if size > 16:  # the header must be whole in the first block
        assert rows({"a.csv": content}) == whole
    monkeypatch.setattr(_text, "BLOCK_BYTES", 20 + size)
    assert rows({"a.csv": content}) == whole


def test_a_value_without_end_is_given_up_in_bounded_memory(rows, monkeypatch):
    monkeypatch.setattr(_text, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(_scan, "MAX_RECORD_BYTES", 2000)
    content = b'a,b\n1,"open\n' + b"2,3\n" * 5000
    records, malformed = rows({"a.csv": content})
    assert len(records) == 5000
    assert [line for _, line, _, _ in reasons(malformed)] == [2]
    with pytest.raises(DataError, match=r"b\.csv line 2 is longer than 4,000 bytes"):
        rows({"b.csv": b"a,b\n" + b"x" * 10_000}, files="b.csv")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
def test_packed_files_are_read_and_a_cut_is_named(rows, pack):
    content = b"a,b\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(2000))
    records, _ = rows({"a.csv.pack": pack(content)})
    assert len(records) == 2000
    with pytest.raises(DataError, match=r"b\.csv is packed and cannot be unpacked"):
        rows({"b.csv": pack(content)[:-5]}, files="b.csv")


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "a PNG picture"), (b"PK\x03\x04\x14", "a zip archive"), (b"PAR1\x00", "a Parquet file")],
)
def test_a_file_of_another_kind_is_named(rows, content, kind):
    with pytest.raises(DataError, match=rf"a\.csv is {kind}.*, not text\. Leave it out by ingest\.files"):
        rows({"a.csv": content})


def test_a_header_of_100_000_columns_is_refused(rows):
    content = ",".join(f"c{i}" for i in range(100_000)).encode() + b"\n" + b",".join([b"1"] * 100_000) + b"\n"
    with pytest.raises(DataError, match=r"the header has 100,000 columns, at most 10,000 are allowed.*max_columns"):
        rows({"a.csv": content})


def test_the_columns_wanted_are_read_from_a_wide_file(rows):
    content = ",".join(f"c{i}" for i in range(9_000)).encode() + b"\n" + b",".join([b"1"] * 9_000) + b"\n"
    assert rows({"a.csv": content}, columns=("c5", "c1"))[0] == [{"c5": "1", "c1": "1", "_file": "a.csv", "_record": 1}]


@pytest.mark.parametrize("stray", [b"", b'6,"x" y\n'], ids=["fast", "scanned"])
def test_blank_lines_and_comments_are_counted(run, stray):
    content = b"a,b\n1,2\n\n# 1\n3,4\r\n\r\n#\n\n" + stray
    report, records, _ = run({"a.csv": content}, {"format": "csv", "comment": "#"}, {"a": {"type": "id"}})
    assert [row["_record"] for row in records] == [1, 2]
    assert report["skipped"] == {"blank lines": 3, "comments": 2}


def test_in_a_file_with_one_column_a_value_that_is_not_there_is_two_quotes_and_a_blank_line_is_counted(run):
    report, records, _ = run({"a.csv": b'a\n1\n\n""\n2\n'}, {"format": "csv"}, {"a": {"type": "id"}})
    assert [row["a"] for row in records] == ["1", "", "2"]
    assert (report["records"], report["skipped"]) == (3, {"blank lines": 1})
