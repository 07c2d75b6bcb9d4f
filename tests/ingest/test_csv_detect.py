"""What a CSV file does not say: its encoding, delimiter, quote and header, detected where `auto` is declared."""

import csv as standard_csv
import io

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.core.errors import DataError
from stages.ingest import Raw, csv
from stages.ingest._dialect import guess

from .conftest import read_all


@pytest.fixture
def rows(reader):
    return reader(csv)


AUTO = {"encoding": "auto", "delimiter": "auto", "quote": "auto", "header": "auto"}
TABLE = [
    ["city", "note", "price"],
    ["Łódź", "pełna życia, także nocą; częste święta", "1,5"],
    ["Kraków", "wąskie ulice", "2,25"],
    ["Gdańsk", "żurawie|łodzie", "3"],
]


def as_csv(table: list[list[str]], delimiter: str, quote: str = '"') -> str:
    out = io.StringIO()
    standard_csv.writer(out, delimiter=delimiter, quotechar=quote, lineterminator="\n").writerows(table)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1250"])
def test_dialect_and_encoding_are_detected(rows, delimiter, encoding):
    content = (as_csv(TABLE[:1], delimiter) + as_csv(TABLE[1:], delimiter) * 20).encode(encoding)
    records, malformed = rows({"a.csv": content}, **AUTO)
    assert [[row[name] for name in TABLE[0]] for row in records[:3]] == TABLE[1:]
    assert (len(records), malformed) == (60, [])


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("utf-8", "naïve Größe"),
        ("cp1252", "It’s a café – “déjà vu” costs £5"),
        ("gb18030", "酒店的服务很好,房间也很干净,下次还会来"),
        ("shift_jis", "これは日本語のテキストです。東京に行きました"),
        ("cp1251", "Привет, это русский текст для проверки"),
        ("utf-16-le", "naïve Größe"),
    ],
)
def test_encodings_are_detected_behind_a_long_plain_beginning(rows, encoding, words):
    plain = "id\ttext\n" + "".join(f"{i}\tplain words\n" for i in range(30_000))
    bom = "\ufeff" if encoding.startswith("utf-16") else ""
    content = (bom + plain + f"30000\t{words}\n" * 5).encode(encoding)
    records, malformed = rows({"a.tsv": content}, encoding="auto")
    assert (records[-1]["text"], len(records), malformed) == (words, 30_005, [])


def test_what_was_detected_is_in_the_report_once_for_files_alike(run):
    files = {f"{i}.csv": b"id;n\n1;2\n" for i in range(3)} | {"z.csv": "id,n\ré,2\r".encode("cp1252")}
    columns = {"id": {"type": "id"}, "n": {"type": "number"}}
    report, records, _ = run(files, {"format": "csv", "encoding": "auto", "delimiter": "auto"}, columns)
    assert [row["id"] for row in records] == ["1", "1", "1", "é"]
    assert report["detected"] == [
        {"encoding": "utf-8", "delimiter": ";", "first_file": "0.csv", "files": 3},
        {"encoding": "cp1252", "delimiter": ",", "first_file": "z.csv", "files": 1},
    ]


def test_the_tab_is_the_default_of_tsv_files(rows):
    assert rows({"a.tsv": b"a\tb,c\n1\t2\n"})[0] == [{"a": "1", "b,c": "2", "_file": "a.tsv", "_record": 1}]


def test_a_wrong_delimiter_is_named_with_the_right_one(rows):
    with pytest.raises(
        DataError, match=r"a\.csv: parted by ',' .*'id;amount'.*parted by ';', into 2 .*delimiter: \";\""
    ):
        rows({"a.csv": b"id;amount\n1;2,5\n"}, columns=("id", "amount"))
    with pytest.raises(DataError, match=r'delimiter: "\\t"'):
        rows({"a.csv": b"id\tamount\n1\t2,5\n"}, columns=("id", "amount"))


def test_a_file_without_header_takes_the_declared_names(rows):
    records, _ = rows({"a.csv": b"1,2\n3,4\n"}, header=False, names=["a", "b"])
    assert [(row["a"], row["b"], row["_record"]) for row in records] == [("1", "2", 1), ("3", "4", 2)]
    with pytest.raises(DataError, match=r"a\.csv has no header; name its 2 columns in ingest\.names"):
        rows({"a.csv": b"1,2\n"}, header=False)
    with pytest.raises(DataError, match=r"a\.csv has 2 columns, and ingest\.names names 3"):
        rows({"a.csv": b"1,2\n"}, header=False, names=["a", "b", "c"])


@pytest.mark.parametrize(
    ("content", "columns", "expected"),
    [
        (b"id,n\n1,2\n", (), True),
        (b"7,8\n1,2\n", (), False),
        (b"x,y\nu,v\n", (), False),  # nothing tells the first row from the second
        (b"x,y\nu,v\n", ("y",), True),  # but a declared name does
        (b"id,day\na,2020-01-31\n", (), True),
    ],
)
def test_a_header_is_detected_by_declared_names_or_by_figures_below(rows, content, columns, expected):
    names = [] if expected else ["one", "two"]
    records, _ = rows({"a.csv": content}, columns=columns, header="auto", names=names)
    assert len(records) == content.count(b"\n") - expected


def test_lines_before_the_header_and_remarks_are_skipped(rows):
    content = b'Report of 2020\n"x\n# don\'t "\nid,n\n1,2\n# a, remark "\n3\n\n4,5\n'
    records, malformed = rows({"a.csv": content}, skip_rows=2, comment="#")
    assert [(row["id"], row["_record"]) for row in records] == [("1", 1), ("4", 3)]
    assert [(row["_line"], row["text"]) for row in malformed] == [(7, "3")]


def test_without_a_quote_every_quote_is_a_character(rows):
    records, _ = rows({"a.csv": b'a,b\n"x,"y\n'}, quote="")
    assert (records[0]["a"], records[0]["b"]) == ('"x', '"y')


def test_a_name_twice_matters_only_where_it_is_declared(rows):
    content = {"a.csv": b"id,,\n1,2,3\n"}
    assert rows(content, columns=("id",))[0] == [{"id": "1", "_file": "a.csv", "_record": 1}]
    with pytest.raises(DataError, match="the header has the columns x twice"):
        rows({"a.csv": b"x,x\n1,2\n"}, columns=("x",))


@pytest.mark.parametrize(("key", "value"), [("delimiter", ""), ("delimiter", ";;"), ("quote", "«"), ("comment", "//")])
def test_marks_are_single_ascii_characters(key, value):
    with pytest.raises(ValidationError, match="one ASCII character"):
        csv.Options(format="csv", **{key: value})


def test_a_column_of_prose_is_not_parted_at_its_commas():
    assert guess("text\nOne, two, three\nA short one\nYes; or no, maybe\nWell\n").num_fields != 3


VALUES = st.text(st.sampled_from("ab1é,;\t\"'\n\r #"), max_size=6)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=12)
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TABLES, st.sampled_from([standard_csv.QUOTE_ALL, standard_csv.QUOTE_MINIMAL]), st.sampled_from(["\n", "\r\n", "\r"])
)
@example([['a"', "b\r\n"]], standard_csv.QUOTE_MINIMAL, "\r\n")
def test_sound_files_are_read_as_pythons_csv_reads_them(tmp_path, table, quoting, line_end):
    out = io.StringIO()
    width = len(table[0]) if table else 1
    if quoting == standard_csv.QUOTE_MINIMAL:  # which leaves other line ends than its own unquoted: no sound file
        table = [[value.replace("\r", "").replace("\n", "") for value in row] for row in table]
    writer = standard_csv.writer(out, quoting=quoting, lineterminator=line_end)
    writer.writerows([[f"c{i}" for i in range(width)], *table])
    expected = [row for row in standard_csv.reader(io.StringIO(out.getvalue(), newline="")) if row][1:]
    (tmp_path / "a.csv").write_bytes(out.getvalue().encode())
    records, malformed = read_all(csv, Raw(tmp_path, tmp_path), csv.Options(format="csv"))
    assert [[row[f"c{i}"] for i in range(width)] for row in records] == expected
    assert malformed == []


LINES = st.lists(st.binary(max_size=8).map(lambda line: line.translate(None, b"\r\n\0\x1f")), max_size=12)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from('a,"é\0'), max_size=6), max_size=12), LINES, st.integers(8, 64))
@example(['"'], [b'"'], 8)
def test_no_line_is_ever_lost(tmp_path, monkeypatch, text, junk, size):
    """Every line that is not blank stands in exactly one record or malformed line, wherever blocks end."""
    from stages.ingest import _scan, _text

    monkeypatch.setattr(_text, "BLOCK_BYTES", size)
    monkeypatch.setattr(_scan, "SCAN_BYTES", size)
    lines = [line.encode() for line in text] + junk
    (tmp_path / "a.csv").write_bytes(b"k,v\n" + b"".join(line + b"\n" for line in lines))
    records, malformed = read_all(csv, Raw(tmp_path, tmp_path), csv.Options(format="csv"))
    places = sorted(row["_record"] for row in records + malformed)
    assert places == list(range(1, len(places) + 1))
    spanned = sum(row["k"].count("\n") + row["v"].count("\n") for row in records)
    spanned += sum(row["text"].count("\n") for row in malformed)
    blank = sum(not line for line in lines) - count_blank_inside(records, malformed)
    assert len(places) + spanned + blank == len(lines)


def count_blank_inside(records: list[dict], malformed: list[dict]) -> int:
    """Blank lines within quoted values, which are part of their record."""
    texts = [value for row in records for value in (row["k"], row["v"])] + [row["text"] for row in malformed]
    return sum(not line for text in texts for line in text.split("\n")[1:-1])
