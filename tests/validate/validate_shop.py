"""A small table of every column type, written as parts, and the stage's own way of looking at it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.contract import Contract
from stages.validate import validate

DECLARED = {
    "who": {"type": "id", "required": True},
    "amount": {"type": "number", "min": 0, "max": 10},
    "colour": {"type": "category", "values": ["red", "blue"]},
    "paid": {"type": "boolean"},
    "note": {"type": "text", "max_chars": 5},
    "photo": {"type": "image", "height": 1, "width": 2, "channels": 1},
    "at": {"type": "timestamp", "min": "2020-01-01", "max": "2020-12-31"},
    "seen": {"type": "timestamp"},
}
KINDS = {
    "who": pa.string(),
    "amount": pa.float64(),
    "colour": pa.string(),
    "paid": pa.bool_(),
    "note": pa.string(),
    "photo": pa.binary(),
    "at": pa.timestamp("us"),
    "seen": pa.timestamp("us"),
}
DAY = datetime(2020, 6, 1)
SOUND = {
    "who": [f"c{i}" for i in range(10)],
    "amount": [0.0, 10.0, 5.0, None, None, None, None, None, 1.0, 2.0],
    "colour": ["red"] * 5 + ["blue"] * 4 + [None],
    "paid": [True, False, None, True, False, None, True, False, None, True],
    "note": ["", "short", "日本語です", None, "a", "b", "c", "d", "e", "f"],
    "photo": [b"ab"] * 9 + [None],
    "at": [DAY + timedelta(days=i) for i in range(9)] + [None],
    "seen": [DAY + timedelta(days=i) for i in range(10)],
}
SECTION = {
    "rows": {"min": 10, "max": 12},
    "max_missing": {"default": 0.5, "colour": 0.1},
    "min_class_share": 0.2,
    "expect": [{"expect_column_values_to_match_regex": {"column": "who", "regex": "^c[0-9]+$"}}],
}
EXAMPLES = {"target": {"column": "colour"}}


def table(**changed):
    values = {**SOUND, **changed}
    return pa.table({name: pa.array(held, KINDS[name]) for name, held in values.items()})


def contract(section=None, columns=None):
    return Contract(
        "shop",
        {"columns": columns or DECLARED, "validate": SECTION if section is None else section, "examples": EXAMPLES},
    )


def write(folder: Path, *pieces: pa.Table, report=None) -> Path:
    """A cleaned table of one part a piece, as `clean` leaves it."""
    (folder / "table").mkdir(parents=True, exist_ok=True)
    for old in (folder / "table").iterdir():
        old.unlink()
    for i, piece in enumerate(pieces):
        pq.write_table(piece, folder / "table" / f"{i:04}.parquet")
    given = report or {"records": 10, "rules": {}, "max_rejected": {"default": 0.01}}
    (folder / "report.json").write_text(json.dumps(given))
    return folder


class Shop:
    """Runs the stage's core on parts, in folders of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.sources, self.out = root, root / "sources", root / "out"
        self.sources.mkdir()
        self.out.mkdir()

    def validate(self, *pieces, section=None, columns=None, report=None):
        folder = write(self.root / "clean", *pieces, report=report)
        return validate(folder, contract(section, columns), self.sources, self.out)


def broken(report):
    """(expectation, column) of each result that is not met."""
    failed = [result for result in report["results"] if not result["success"]]
    return [(result["type"].removeprefix("expect_"), result["kwargs"].get("column", "")) for result in failed]
