"""The user's own `ingest.py`: what it yields is read, and its mistakes are shown with its own file and line."""

import datetime

import pytest

from stages.contract import Contract
from stages.core.errors import ContractError, DataError
from stages.ingest import Raw, own_files, script

from .conftest import read_all


@pytest.fixture
def rows(tmp_path):
    def run(code: str, **options):
        (tmp_path / "raw").mkdir(exist_ok=True)
        (tmp_path / "shop").mkdir(exist_ok=True)
        for name in ("a.txt", "b.txt"):
            (tmp_path / "raw" / name).write_text(f"{name}\n2\n")
        (tmp_path / "shop" / "ingest.py").write_text(code)
        return read_all(script, Raw(tmp_path / "raw", tmp_path / "shop"), script.Options(format="script", **options))

    return run


def test_dicts_become_text_and_are_numbered_file_by_file(rows):
    records, _ = rows(
        "def read(paths):\n"
        "    for path in paths:\n"
        "        for line in path.read_text().splitlines():\n"
        "            yield [{'line': line, 'n': 1.5, 'ok': True, 'none': None}]\n"
    )
    assert [tuple(row.values()) for row in records] == [
        ("a.txt", "1.5", "true", None, "a.txt", 1),
        ("2", "1.5", "true", None, "a.txt", 2),
        ("b.txt", "1.5", "true", None, "b.txt", 1),
        ("2", "1.5", "true", None, "b.txt", 2),
    ]


def test_tables_keep_their_types_and_all_files_may_come_together(rows):
    code = (
        "import datetime, pyarrow as pa\n"
        "def read(paths):\n"
        "    yield pa.table({'n': [len(paths)], 'day': [datetime.date(2020, 1, 31)], '_file': ['mine'],"
        " '_record': [7]})\n"
    )
    assert rows(code, together=True)[0] == [{"n": 2, "day": datetime.date(2020, 1, 31), "_file": "mine", "_record": 7}]


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("def read(paths):\n    yield [{'a': 1}]\n    yield [{'a': 1 / 0}]\n", DataError,
         r"shop/ingest\.py line 3 \(yield \[\{'a': 1 / 0\}\]\): ZeroDivisionError: division by zero$"),
        ("import nothing_of_the_kind\n", DataError, r"ingest\.py line 1 .*ModuleNotFoundError"),
        ("def read(paths)\n", DataError, r"ingest\.py line 1: SyntaxError: expected ':'"),
        ("def raed(paths): pass\n", ContractError, r"ingest\.py defines no function read"),
        ("def read(paths): return None\n", DataError, r"read returned NoneType; it must yield Arrow tables or lists"),
        ("def read(paths): yield 'text'\n", DataError, r"read yielded str; it must yield Arrow tables or lists"),
    ],
)  # fmt: skip
def test_mistakes_are_shown_with_their_file_and_line(rows, code, kind, message):
    with pytest.raises(kind, match=message):
        rows(code)


def test_no_byte_code_is_written_beside_it(rows, tmp_path):
    rows("def read(paths): yield [{'a': 1}]\n")
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["ingest.py"]


def test_the_stage_says_whose_code_it_was_and_reads_anew_when_it_changes(run, tmp_path):
    (tmp_path / "sources").mkdir()
    path = tmp_path / "sources" / "ingest.py"
    path.write_text("def read(paths): yield [{'a': 'old', 'b': 1}]")
    report, _, _ = run({"x": b""}, {"format": "script"}, {"a": {"type": "text"}})
    assert report == {"files": 1, "parts": 1, "records": 1, "malformed": 0, "columns_left_out": ["b"],
                      "script": "sources/ingest.py"}  # fmt: skip
    path.write_text("def read(paths): yield [{'a': 'new'}]")
    assert [row["a"] for row in run({}, {"format": "script"}, {"a": {"type": "text"}})[1]] == ["new"]


def test_types_that_change_between_tables_are_named(run, tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "ingest.py").write_text(
        "import pyarrow as pa\ndef read(paths):\n    yield pa.table({'a': [1]})\n    yield pa.table({'a': ['x']})\n"
    )
    with pytest.raises(DataError, match=r"x: a is string, int64 before: .*Make the types agree"):
        run({"x": b""}, {"format": "script"}, {"a": {"type": "text"}})


def test_of_a_personal_column_no_error_shows_a_value(run, tmp_path):
    (tmp_path / "sources").mkdir()
    path = tmp_path / "sources" / "ingest.py"
    columns = {"who": {"type": "text", "personal": True}, "n": {"type": "text"}}
    path.write_text("def read(paths):\n    yield [{'who': 'a@b.c', 'n': int(paths[0].read_text())}]\n")
    with pytest.raises(
        DataError, match=r"line 2 .*: ValueError: in x \(its text is not shown, as who is perso"
    ) as caught:
        run({"x": b"b@c.d"}, {"format": "script"}, columns)
    assert "b@c.d" not in str(caught.value)
    tables = "import pyarrow as pa\ndef read(paths):\n    yield pa.table({'who': [1], 'n': [1]})\n"
    path.write_text(tables + "    yield pa.table({'who': ['7', 'a@b.c'], 'n': [1, 1]})\n")
    with pytest.raises(
        DataError, match=r"x: who is string, int64 before: its value is not shown.*\(record 3\)"
    ) as caught:
        run({}, {"format": "script"}, columns)
    assert "a@b.c" not in str(caught.value)
    path.write_text(tables + "    yield pa.table({'who': [2], 'n': ['plain']})\n")
    with pytest.raises(DataError, match="x: n is string, int64 before: .*'plain'"):
        run({}, {"format": "script"}, columns)


def test_what_the_script_reads_beside_itself_is_read_anew_when_it_changes(run, tmp_path):
    words = tmp_path / "sources" / "tables" / "words.txt"
    words.parent.mkdir(parents=True)
    (tmp_path / "sources" / "ingest.py").write_text(
        "from pathlib import Path\n"
        "def read(paths):\n"
        "    yield [{'a': (Path(__file__).parent / 'tables' / 'words.txt').read_text()}]\n"
    )
    for word in ("old", "new"):
        words.write_text(word)
        assert run({"x": b""}, {"format": "script"}, {"a": {"type": "text"}})[1][0]["a"] == word


def test_what_other_stages_read_there_is_no_part_of_the_key(tmp_path):
    raw = {"ingest": {"format": "script"}, "clean": {"corrections": "mended.csv"}}
    for name in ("ingest.py", "lock.json", "reference.json", "mended.csv", "more/lock.json", "__pycache__/a.pyc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert [name for name, _ in own_files(tmp_path, Contract("shop", raw))] == ["ingest.py", "more/lock.json"]
    assert [name for name, _ in own_files(tmp_path, Contract("shop", {"ingest": {"format": "csv"}}))] == ["ingest.py"]
