"""Folders of pictures, sounds and texts: bytes or text, columns from the path, and a table of labels beside them."""

import pytest
from pydantic import ValidationError

from stages.core.errors import ContractError, DataError
from stages.ingest import _parts, files, texts

PICTURES = {"train/cat/001.png": b"\x89PNG1", "train/dog/002.png": b"\x89PNG22", "test/cat/003.png": b""}


@pytest.fixture
def rows(reader):
    return reader(files)


@pytest.fixture
def text_rows(reader):
    return reader(texts)


def test_each_file_is_a_record_of_bytes_and_facts(rows):
    records, malformed = rows(PICTURES, column="image", path="^(?P<split>[^/]+)/(?P<label>[^/]+)/")
    assert records == [
        {"image": b"", "name": "003.png", "size": 0, "split": "test", "label": "cat",
         "_file": "test/cat/003.png", "_record": 1},
        {"image": b"\x89PNG1", "name": "001.png", "size": 5, "split": "train", "label": "cat",
         "_file": "train/cat/001.png", "_record": 1},
        {"image": b"\x89PNG22", "name": "002.png", "size": 6, "split": "train", "label": "dog",
         "_file": "train/dog/002.png", "_record": 1},
    ]  # fmt: skip
    assert malformed == []


def test_files_off_the_path_or_too_large_are_malformed(rows):
    records, malformed = rows({"a/x": b"1", "y": b"2", "a/z": b"333"}, column="image", path="^(?P<k>.+)/", max_bytes=2)
    assert [row["image"] for row in records] == [b"1"]
    assert [(row["_file"], row["reason"]) for row in malformed] == [
        ("a/z", "3 bytes, at most 2 allowed (ingest.max_bytes)"),
        ("y", "the path does not match ingest.path '^(?P<k>.+)/'"),
    ]


def test_batches_end_before_memory_does(rows, monkeypatch):
    monkeypatch.setattr(files, "BATCH_BYTES", 6)
    assert [row["name"] for row in rows(PICTURES, column="image")[0]] == ["003.png", "001.png", "002.png"]


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ("name,kind\ntrain/cat/001.png,a\ntrain/dog/002.png,b\n", {}),
        ("name,kind\n./train/cat/001.png,a\n./train/dog/002.png,b\n", {}),
        ("name,kind\n001.png,a\n002.png,b\n", {}),
        ("kind;name\na;001\nb;002\n", {"delimiter": ";"}),
        ("001.png a\n\n002.png   b\n", {"delimiter": "whitespace", "header": False, "names": ["name", "kind"]}),
        ("name kind\n001 a\n002 b\n", {"delimiter": "whitespace"}),
        ("001.png,a\n002.png,b\n", {"header": False, "names": ["name", "kind"]}),
    ],
)
def test_labels_are_joined_however_they_write_the_name(rows, labels, options):
    content = PICTURES | {"labels.csv": labels.encode()}
    records, _ = rows(content, column="image", labels={"file": "labels.csv", "key": "name", **options})
    assert [(row["_file"], row["kind"]) for row in records] == [
        ("test/cat/003.png", None),
        ("train/cat/001.png", "a"),
        ("train/dog/002.png", "b"),
    ]


def test_labels_in_json_lines_from_their_own_folder(rows):
    content = PICTURES | {"train/labels.jsonl": b'{"f":"cat/001.png","kind":"a"}\n{"f":"dog/002.png","kind":"b"}\n'}
    records, _ = rows(content, column="image", labels={"file": "train/labels.jsonl", "key": "f"})
    assert [row["kind"] for row in records] == [None, "a", "b"]


COLUMNS = {"image": {"type": "image", "height": 1, "width": 1, "channels": 1}, "kind": {"type": "category"}}
LABELLED = {"format": "files", "column": "image", "labels": {"file": "labels.csv", "key": "name"}}


def test_the_report_counts_what_has_no_partner_and_new_labels_are_read_anew(run):
    content = PICTURES | {"labels.csv": b"name,kind\n001.png,a\ngone.png,b\n"}
    report, records, _ = run(content, LABELLED, COLUMNS)
    assert [row["kind"] for row in records] == [None, "a", None]
    assert report["labels"] == {
        "rows": 2, "files_without_label": 2, "labels_without_file": 1, "first_labels_without_file": ["gone.png"]
    }  # fmt: skip
    records = run({"labels.csv": b"name,kind\n001.png,z\n"}, LABELLED, COLUMNS)[1]
    assert [row["kind"] for row in records] == [None, "z", None]


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ("file,kind\n001.png,a\n", ContractError, "no column 'name'.*Found: file, kind"),
        ("name,kind\nx.png,a\n", DataError, r"no name names a raw file: it has 'x\.png'"),
        ("name,kind\n001.png,a\n001.png,b\n", DataError, r"has more than one row for '001\.png'"),
        ("name,kind\n001.png\n002.png,b\n", DataError, r"labels\.csv line 2: 1 fields; the header has 2"),
    ],
)
def test_labels_that_cannot_be_joined_are_named(run, labels, kind, message):
    with pytest.raises(kind, match=message):
        run(PICTURES | {"labels.csv": labels.encode()}, LABELLED, COLUMNS)


def test_a_name_in_two_folders_is_not_given_one_label(run):
    content = {"a/1.png": b"1", "b/1.png": b"2", "labels.csv": b"name,kind\n1.png,x\n"}
    with pytest.raises(DataError, match=r"by name, labels\.csv stands for several files called '1\.png'"):
        run(content, LABELLED, COLUMNS)


def test_texts_are_decoded_and_those_that_cannot_be_are_malformed(text_rows):
    content = {
        "pos/a.txt": "naïve\r\nvery good".encode(), "pos/b.txt": "café".encode("cp1252"), "neg/c.txt": b"",
        "neg/d.txt": b"\x89PNG\r\n",
    }  # fmt: skip
    records, malformed = text_rows(content, path="^(?P<label>pos|neg)/")
    assert [(row["_file"], row["text"], row["label"]) for row in records] == [
        ("neg/c.txt", "", "neg"),
        ("pos/a.txt", "naïve\r\nvery good", "pos"),
    ]
    assert [(row["_file"], row["reason"][:34]) for row in malformed] == [
        ("neg/d.txt", "neg/d.txt is a PNG picture, not te"),
        ("pos/b.txt", "bytes that are not utf-8 text; set"),
    ]
    assert [row["text"] for row in text_rows({}, files="pos/b.txt", encoding="auto")[0]] == ["café"]


def test_one_record_a_line_with_the_label_of_the_path(text_rows):
    content = {"neg.txt": "差\n\n还行\r\n".encode() + b"\xff\n", "pos.txt": "好".encode()}
    records, malformed = text_rows(content, column="review", split="lines", path=r"^(?P<label>\w+)\.txt$")
    assert [(row["review"], row["label"], row["name"], row["_record"]) for row in records] == [
        ("差", "neg", "neg.txt", 1),
        ("还行", "neg", "neg.txt", 3),
        ("好", "pos", "pos.txt", 1),
    ]
    assert [(row["_line"], row["text"], row["reason"]) for row in malformed] == [
        (4, r"\xff", "bytes that are not utf-8 text")
    ]


def test_a_wrong_pattern_is_refused_before_any_file_is_read():
    with pytest.raises(ValidationError, match="a regular expression: missing"):
        texts.Options(format="texts", path="(")


def test_one_picture_more_or_a_mended_label_reads_no_other_part_again(run, monkeypatch):
    monkeypatch.setattr(_parts, "SMALL_BYTES", 0)  # each file is a part
    read = []
    whole = files.read_one
    monkeypatch.setattr(files, "read_one", lambda raw, name, options: read.append(name) or whole(raw, name, options))
    settings = {"format": "files", "column": "photo", "files": "*.png", "labels": {"file": "l.csv", "key": "file"}}
    columns = {"kind": {"type": "category"}}
    run({"a.png": b"a", "b.png": b"b", "l.csv": b"file,kind\nb,dog\na,cat\n"}, settings, columns)
    _, records, _ = run({"c.png": b"c", "l.csv": b"file,kind\na,cat\nc,cow\nb,fox\n"}, settings, columns)
    assert read == ["a.png", "b.png", "b.png", "c.png"]
    assert [row["kind"] for row in records] == ["cat", "fox", "cow"]
