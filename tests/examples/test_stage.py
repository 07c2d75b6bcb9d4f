"""The stage as a command: a folder of parts in, five files out, the same for the same rows however they are cut."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.contract import Contract
from stages.examples import main, make

PARAMS = """
pipelines: {shop: {}}
shop:
  columns:
    name: {type: id, personal: true}
    amount: {type: number}
    paid: {type: boolean}
  validate: {}
  examples: {target: {column: paid}, split: {by: hash, validation: 0.2, test: 0.2}}
"""


def run(folder: Path, table: pa.Table, *cuts: int, passed: bool = True) -> Path:
    """The stage's output for the table in parts of `cuts` rows and the rest."""
    parts = folder / "table"
    parts.mkdir(parents=True)
    start = 0
    for i, length in enumerate([*cuts, table.num_rows - sum(cuts)]):
        pq.write_table(table.slice(start, length), parts / f"{i:03}.parquet")
        start += length
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (folder / "verdict.json").write_text(json.dumps({"passed": passed, "reasons": ["too old"]}), encoding="utf-8")
    places = {
        "clean": "table",
        "verdict": "verdict.json",
        "sources": "table",
        "out": "out",
        "params": "params.yaml",
        "status": "run",
    }
    main(["--pipeline", "shop", *(word for name, at in places.items() for word in (f"--{name}", str(folder / at)))])
    return folder / "out"


def people(rows: int, copies: int = 0) -> pa.Table:
    table = pa.table(
        {
            "name": [f"p{i}" for i in range(rows)],
            "amount": [float(i * 37 % 1009) for i in range(rows)],
            "paid": [i % 3 == 0 for i in range(rows)],
        }
    )
    return pa.concat_tables([table, table.slice(0, copies)])


def test_parts_do_not_matter_and_every_file_is_there(tmp_path):
    whole, cut = run(tmp_path / "whole", people(600)), run(tmp_path / "cut", people(600), 1, 250, 0)
    names = ["leaks.parquet", "report.json", "test.parquet", "train.parquet", "validation.parquet"]
    assert sorted(path.name for path in whole.iterdir()) == names
    for name in names:
        assert (whole / name).read_bytes() == (cut / name).read_bytes()
    report = json.loads((whole / "report.json").read_text(encoding="utf-8"))
    assert report["passed"]
    assert sum(split["rows"] for split in report["splits"].values()) == 600
    assert set(report["splits"]["train"]["classes"]) == {"False", "True"}
    assert pq.read_table(whole / "leaks.parquet").num_rows == 0


def test_rows_that_are_added_move_nobody(tmp_path):
    first, more = run(tmp_path / "first", people(600)), run(tmp_path / "more", people(700))
    for name in ("train", "validation", "test"):
        old = pq.read_table(first / f"{name}.parquet")["name"].to_pylist()
        assert set(old) <= set(pq.read_table(more / f"{name}.parquet")["name"].to_pylist())


def test_it_refuses_what_validate_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run(tmp_path / "refused", people(60), passed=False)
    assert caught.value.code == 5
    assert "too old" in capsys.readouterr().err
    assert not (tmp_path / "refused" / "out").exists()


def personal_target(shares: dict[str, int], kind: str = "category") -> tuple[pa.Table, Contract]:
    values: list[Any] = [name for name, count in shares.items() for _ in range(count)]
    values = [float(value) for value in values] if kind == "number" else values
    table = pa.table({"amount": [float(i * 37 % 1009) for i in range(len(values))], "who": values})
    declared = {"amount": {"type": "number"}, "who": {"type": kind, "personal": True}}
    examples = {"target": {"column": "who", "type": kind}, "split": {"by": "hash"}}
    return table, Contract("shop", {"columns": declared, "validate": {}, "examples": examples})


def test_a_personal_targets_classes_stand_in_no_report(tmp_path):
    splits, report, _ = make(*personal_target({"Ada Lovelace": 400, "Bo Derek": 297, "Cy Twombly": 3}), tmp_path)
    assert set(report["splits"]["train"]["classes"]) == {"class 1", "class 2", "class 3"}
    assert sum(report["splits"]["train"]["classes"].values()) == splits["train"].num_rows
    assert not report["passed"]
    assert "class 3" in report["reasons"][0]
    assert not [name for name in ("Ada", "Bo", "Cy") if name in json.dumps(report)]


def test_of_a_personal_number_the_mean_alone_is_told(tmp_path):
    table, contract = personal_target({str(1000 + i * 7): 1 for i in range(500)}, "number")
    report = make(table, contract, tmp_path)[1]
    assert set(report["splits"]["train"]["target"]) == {"mean"}
