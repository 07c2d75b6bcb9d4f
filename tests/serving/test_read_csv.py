"""CSV that predict.py is given, read as training read it."""

import pytest

from serving.read import InputError, read_rows

COLUMNS = [{"name": "word"}, {"name": "n"}]


def read(path, content: bytes, **reader) -> list[tuple]:
    path.write_bytes(content)
    rows = read_rows({"reader": {"format": "csv", **reader}}, path, COLUMNS)
    return [(row.get("word"), row.get("n"), row.get("_problem")) for row in rows]


@pytest.mark.parametrize(
    ("content", "reader"),
    [
        ("word,n\ncafé,1\n".encode(), {}),
        ("\ufeffword,n\ncafé,1\n".encode(), {}),
        ("word;n\ncafé;1\n".encode("cp1252"), {"encoding": "auto", "delimiter": "auto"}),
        ("word\tn\ncafé\t1\n".encode("utf-16"), {"encoding": "auto", "delimiter": "auto", "quote": "auto"}),
        ("word|n\ncafé|1\n".encode("latin-1"), {"encoding": "latin-1", "delimiter": "|"}),
    ],
)
def test_declared_and_detected_dialects(tmp_path, content, reader):
    assert read(tmp_path / "a.csv", content, **reader) == [("café", "1", None)]


def test_without_a_quote_every_quote_is_a_character(tmp_path):
    assert read(tmp_path / "a.csv", b'word,n\n"a,1\n', quote="") == [('"a', "1", None)]


def test_a_ragged_line_says_so_and_another_encoding_is_an_error(tmp_path):
    assert read(tmp_path / "a.csv", b"word,n\na\n") == [(None, None, "1 fields; the header has 2")]
    with pytest.raises(InputError, match="cannot be read as utf-8-sig CSV"):
        read(tmp_path / "a.csv", b"word,n\n\xff,1\n")
