"""The user's own `ingest.py`: what it yields is read, and its mistakes are shown with its own file and line."""

import datetime

import pytest

from stages.core.errors import ContractError, DataError
from stages.ingest import Raw, script

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
