"""Poisoned retail data and contracts, each stopped by the gate that should stop it."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., None]
FRONT = ("ingest", "clean", "validate")


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the project that was built, to be poisoned."""
    return Path(shutil.copytree(built, tmp_path / "project"))


def report(project: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project / "data" / name).read_text())
    return content


def refused(run_stage: Run, project: Path, stage: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a stage that must refuse; returns what it said."""
    with pytest.raises(SystemExit) as failure:
        run_stage(project, "retail", stage)
    assert failure.value.code == 5
    status = report(project, f".run/retail.{stage}.json")
    assert status["error"] == "RefusedError"
    return capsys.readouterr().err


def edit_sql(project: Path, old: str, new: str) -> None:
    path = project / "sources" / "retail" / "derive.sql"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def wrap_sql(project: Path, select: str) -> None:
    """Make `select` of the rows that derive.sql gives, under the name `rows`."""
    path = project / "sources" / "retail" / "derive.sql"
    path.write_text(f"WITH derived_rows AS (\n{path.read_text().rstrip().rstrip(';')}\n)\n{select}")


def edit_records(project: Path, column: str, value: str) -> None:
    """Set a column of every raw record to one value."""
    path = project / "data" / "raw" / "retail" / "invoices.csv"
    with path.open(encoding="latin-1", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="latin-1", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, column: value} for row in rows)


def test_a_leaked_target_is_refused_by_examples(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """`spend_90d` made of what happens after the cut-off: it gives the answer away."""
    wrap_sql(
        project,
        "SELECT * REPLACE (CASE buys_again WHEN 'yes' THEN 100.0 ELSE 0.0 END + recency_days / 1000 AS spend_90d)"
        " FROM derived_rows ORDER BY CustomerID",
    )
    run_stage(project, "retail", "examples")
    verdict = report(project, "examples/retail/report.json")
    assert not verdict["passed"]
    assert verdict["point_in_time"] == "not passed"
    future, leak = verdict["reasons"]
    assert future.startswith("derive.sql looks into the future")
    assert "spend_90d changes in" in future
    assert leak.startswith("spend_90d alone predicts buys_again")
    assert "looks like a leak of the target" in refused(run_stage, project, "features", capsys)


def test_a_target_of_one_class_is_refused_by_examples(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    wrap_sql(project, "SELECT * REPLACE ('yes' AS buys_again) FROM derived_rows ORDER BY CustomerID")
    run_stage(project, "retail", "examples")
    reasons = report(project, "examples/retail/report.json")["reasons"]
    assert len(reasons) == 3
    assert all("of 1 class of buys_again; at least two classes are needed" in reason for reason in reasons)
    assert "at least two classes" in refused(run_stage, project, "features", capsys)


def test_a_required_column_that_is_all_missing_is_refused_by_validate(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_records(project, "Country", "")
    run_stage(project, "retail", *FRONT)
    verdict = report(project, "validation/retail/report.json")
    failed = [result for result in verdict["results"] if not result["success"]]
    assert {"type": "reject_share_at_most", "rule": "Country.required"}.items() <= {
        "type": failed[-1]["type"],
        **failed[-1]["kwargs"],
    }.items()
    assert failed[-1]["observed"]["share"] == 1.0
    assert "Country.required" in refused(run_stage, project, "examples", capsys)


def test_an_optional_column_that_is_all_missing_is_refused_by_validate(project: Path, run_stage: Run) -> None:
    edit_records(project, "Description", "NA")
    run_stage(project, "retail", *FRONT)
    verdict = report(project, "validation/retail/report.json")
    assert len(verdict["reasons"]) == 1
    assert "expect_column_values_to_not_be_null(column=Description" in verdict["reasons"][0]


def test_a_derived_column_that_is_all_missing_is_refused_by_examples(project: Path, run_stage: Run) -> None:
    wrap_sql(project, "SELECT * REPLACE (NULL::DOUBLE AS overdue_ratio) FROM derived_rows ORDER BY CustomerID")
    run_stage(project, "retail", "examples")
    assert report(project, "examples/retail/report.json")["reasons"] == [
        "overdue_ratio has no value in any training row; take it out of the columns, or mend its source"
    ]


def test_swapped_labels_are_refused_by_evaluate(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the labels are swapped, by a hash of the customer: nothing is left to be learnt."""
    swap = "CASE WHEN hash(CustomerID) % 2 = 0 THEN buys_again WHEN buys_again = 'yes' THEN 'no' ELSE 'yes' END"
    wrap_sql(project, f"SELECT * REPLACE ({swap} AS buys_again) FROM derived_rows ORDER BY CustomerID")
    run_stage(project, "retail", "examples", "features", "train", "evaluate")
    verdict = report(project, "evaluation/retail/evaluation.json")
    assert not verdict["passed"]
    assert "no model is shown to beat one answer for all rows" in verdict["reasons"][0]
    assert "Are the labels right" in refused(run_stage, project, "compress", capsys)


def test_a_model_that_fails_its_gate_is_not_packaged(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str], params: Callable[..., None]
) -> None:
    params(project, lambda content: content["retail"]["assay"].update(gates=[{"metric": "roc_auc", "at_least": 0.999}]))
    before = (project / "data" / "bundle" / "retail" / "manifest.json").read_bytes()
    run_stage(project, "retail", "assay")
    assert "gate (metric roc_auc, at_least 0.999)" in refused(run_stage, project, "package", capsys)
    assert (project / "data" / "bundle" / "retail" / "manifest.json").read_bytes() == before


def test_derived_values_out_of_bounds_name_the_row(
    project: Path, run_stage: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    wrap_sql(project, "SELECT * REPLACE (-orders AS orders) FROM derived_rows ORDER BY CustomerID")
    with pytest.raises(SystemExit) as failure:
        run_stage(project, "retail", "examples")
    assert failure.value.code == 4
    assert "derive.sql row 1: orders is -" in capsys.readouterr().err


def test_every_record_is_accounted_for(built: Path) -> None:
    """An independent count of the raw file agrees with the report."""
    with (built / "incoming" / "retail" / "invoices.csv").open(encoding="latin-1", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = report(built, "clean/retail/report.json")
    assert counts["records"] == len(rows)
    assert counts["rules"]["CustomerID.required"] == sum(not row["CustomerID"] for row in rows) == 40
    assert counts["rules"]["UnitPrice.min"] == sum(float(row["UnitPrice"]) < 0.001 for row in rows) == 1
    assert counts["kept"] + counts["rejected"] + counts["merged"] == len(rows)


def test_ragged_lines_are_rejects_with_their_reason(project: Path, run_stage: Run) -> None:
    import pyarrow.parquet as pq

    path = project / "data" / "raw" / "retail" / "invoices.csv"
    with path.open("ab") as file:
        file.write(b"539999,22111,TOO,FEW\r\n")
    run_stage(project, "retail", "ingest", "clean")
    malformed = pq.read_table(project / "data" / "records" / "retail" / "malformed.parquet").to_pylist()
    assert [(row["text"], row["reason"]) for row in malformed] == [
        ("539999,22111,TOO,FEW", "4 fields; the header has 8")
    ]
    counts = report(project, "clean/retail/report.json")
    assert counts["rules"]["malformed"] == 1
    assert counts["kept"] + counts["rejected"] == counts["records"]
