"""JSON lines as they are found: each line is a record or malformed, nested values by dotted names or as JSON."""

import gzip

import pytest
import zstandard

from stages.core.errors import DataError
from stages.ingest import _text, jsonl


@pytest.fixture
def rows(reader):
    return reader(jsonl)


UGLY = (
    b'{"id":"007","n":1.5,"ok":true,"user":{"name":"\xc3\xa9\\n","tags":["a",{"b":null}]}}\n'
    b'{"id":null,"extra":1}\r\n'
    b"\n"
    b"[1,2]\n"
    b'{"id":1\n'
    b'{"id":"\xff"}\n'
    b'"text"\n'
    b'{"id":"last"}'
)


def test_every_line_is_a_record_or_malformed_with_its_number_and_reason(rows):
    records, malformed = rows({"a.jsonl": UGLY}, columns=("id", "n", "ok", "user.name", "user.tags", "user"))
    assert [row["_record"] for row in records] == [1, 2, 8]
    assert records[0] == {
        "id": "007",
        "n": "1.5",
        "ok": "true",
        "user.name": "é\n",
        "user.tags": '["a",{"b":null}]',
        "user": '{"name":"é\\n","tags":["a",{"b":null}]}',
        "_file": "a.jsonl",
        "_record": 1,
    }
    assert [row["id"] for row in records] == ["007", None, "last"]
    assert [(row["_line"], row["text"], row["reason"][:40]) for row in malformed] == [
        (4, "[1,2]", "a JSON list, not an object"),
        (5, '{"id":1', "not JSON: Expecting ',' delimiter: line "),
        (6, '{"id":"\\xff"}', "bytes that are not text in ingest.encodi"),
        (7, '"text"', "a JSON str, not an object"),
    ]


def test_a_key_with_a_dot_comes_before_a_nested_one(rows):
    records, _ = rows({"a.jsonl": b'{"a.b":1,"a":{"b":2}}\n{"a":{"b":2}}\n'}, columns=("a.b",))
    assert [row["a.b"] for row in records] == ["1", "2"]


def test_names_with_quotes_slashes_and_tildes_are_plain_keys(rows):
    records, _ = rows({"a.jsonl": b'{"a/b":1,"c~d":2,"it\'s":3,"x\\"y":4,"$":5}\n'})
    assert list(records[0].values())[:5] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
def test_packed_files_and_a_byte_order_mark(rows, pack):
    assert rows({"a": pack(b'\xef\xbb\xbf{"n":1}\n')})[0][0]["n"] == "1"


def test_lines_are_the_same_wherever_blocks_end(rows, monkeypatch):
    whole = rows({"a.jsonl": UGLY}, columns=("id", "user.name"))
    for size in (5, 17, 64):
        monkeypatch.setattr(_text, "BLOCK_BYTES", size)
        assert rows({"a.jsonl": UGLY}, columns=("id", "user.name")) == whole


def test_other_encodings_are_declared_or_detected(rows):
    words = "酒店的服务很好,房间也很干净,下次来这个城市还会住在这里。早餐一般,但是位置非常方便"
    line = f'{{"word":"{words}"}}\n'.encode("gb18030")
    for encoding in ("gb18030", "auto"):
        assert rows({"a.jsonl": line}, encoding=encoding)[0][0]["word"] == words


def test_a_json_list_is_a_data_error_that_says_how_to_write_it(rows):
    with pytest.raises(DataError, match=r"a\.json is one JSON list.*jq -c '\.\[\]' a\.json"):
        rows({"a.json": b'[\n{"a":1},\n{"a":2}\n]\n'})


def test_undeclared_keys_are_named(run):
    report, records, _ = run(
        {"a.jsonl": UGLY}, {"format": "jsonl"}, {"id": {"type": "id"}, "user.name": {"type": "text"}}
    )
    assert report["columns_left_out"] == ["extra", "n", "ok"]
    assert (report["records"], report["malformed"], len(records)) == (3, 4, 3)


def test_undeclared_keys_are_named_wherever_they_stand(run, monkeypatch):
    monkeypatch.setattr(_text, "BLOCK_BYTES", 4096)
    lines = b'{"id":1}\n' * 2000 + b'{"id":2,"late":[]}\n'
    report, _, _ = run({"a.jsonl": lines}, {"format": "jsonl"}, {"id": {"type": "id"}})
    assert report["columns_left_out"] == ["late"]


def test_without_declared_columns_a_late_key_is_read_too(rows, monkeypatch):
    monkeypatch.setattr(_text, "BLOCK_BYTES", 4096)
    records, _ = rows({"a.jsonl": b'{"id":1}\n' * 2000 + b'{"late":3,"id":2}\n'})
    assert records[0] == {"id": "1", "_file": "a.jsonl", "_record": 1}
    assert records[-1] == {"id": "2", "late": "3", "_file": "a.jsonl", "_record": 2001}


COLUMNS = {name: {"type": "text"} for name in ("id", "user.name")}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b'{"user":{"name":1},"_id":2}\n', r"a\.jsonl has no column 'id'.*Did you mean '_id'\? Found: _id, user\.name"),
        (b'{"id":1,"user":{"nmae":2}}\n', r"a\.jsonl has no column 'user\.name', which the contract declares"),
    ],
)
def test_a_column_that_no_line_of_any_file_has_is_a_data_error(run, lines, message):
    with pytest.raises(DataError, match=message):
        run({"a.jsonl": lines, "b.jsonl": b"{\n"}, {"format": "jsonl"}, COLUMNS)


def test_columns_that_some_files_lack_are_null_there_and_told_of_from_the_store_too(run):
    files = {"a.jsonl": b'{"id":1}\n' * 9000, "b.jsonl": b'{"id":2}\n{"user":{"name":null}}\n', "c.jsonl": b"\n"}
    for _ in range(2):
        report, records, _ = run(files, {"format": "jsonl"}, COLUMNS)
        assert report["columns_absent"] == {"a.jsonl": ["user.name"]}
        assert len(records) == 9002
