"""The line over four small pipelines, and what its bundles do."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import predict, verify


def script(bundle: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A bundle's script as a user runs it: from elsewhere, with nothing of the project on the path."""
    return subprocess.run(
        [sys.executable, "-E", "-s", str(bundle / name), *arguments],
        capture_output=True,
        text=True,
        cwd=bundle.parent,
        check=False,
    )


@pytest.fixture
def bundle(built: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a bundle, to be harmed."""

    def copy(pipeline: str) -> Path:
        return Path(shutil.copytree(built / "data" / "bundle" / pipeline, tmp_path / pipeline))

    return copy


@pytest.mark.parametrize("pipeline", ["retail", "fashion", "spam", "tickets"])
def test_every_bundle_verifies(built: Path, pipeline: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main(built / "data" / "bundle" / pipeline) == 0
    assert "verified:" in capsys.readouterr().out


def test_scripts_run_alone_and_leave_no_trace_in_the_bundle(bundle: Callable[[str], Path]) -> None:
    folder = bundle("tickets")
    before = sorted(folder.rglob("*"))
    rows = folder.parent / "rows.csv"
    rows.write_text(
        "opened,plan,seats,message\n2025-03-04,pro,3,refund cancel broken\n2025-03-04,team,50,great thanks invite\n"
    )
    answered = script(folder, "predict.py", str(rows))
    assert answered.returncode == 0, answered.stderr
    first, second, total = answered.stdout.splitlines()
    assert first.startswith("rows.csv row 1: yes (yes ")
    assert second.startswith("rows.csv row 2: no (no ")
    assert total == "in all: 1 yes, 1 no"
    verified = script(folder, "verify.py")
    assert verified.returncode == 0, verified.stderr
    assert sorted(folder.rglob("*")) == before


def test_verify_runs_no_code_of_a_bundle_that_was_altered(bundle: Callable[[str], Path]) -> None:
    folder = bundle("tickets")
    (folder / "prepare.py").write_text("print('verified'); raise SystemExit(0)")
    verified = script(folder, "verify.py")
    assert verified.returncode == 1
    assert "prepare.py has changed" in verified.stderr
    assert verified.stdout.startswith("NOT verified")


def test_predict_wants_the_declared_columns_and_whole_lines(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = built / "data" / "bundle" / "tickets"
    (tmp_path / "rows.csv").write_text("Opened,plan,seats,message\n2025-03-01,pro,3,hello\n")
    assert predict.main([str(tmp_path / "rows.csv")], bundle) == 2
    assert "rows.csv has no column opened; found Opened, plan, seats, message" in capsys.readouterr().err
    (tmp_path / "rows.csv").write_text("opened,plan,seats,message\n2025-03-01,pro\n2025-03-01,pro,3,hello\n")
    assert predict.main([str(tmp_path / "rows.csv")], bundle) == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first == "rows.csv row 1: no answer: 2 fields; the header has 4"
    assert "%" in second


def test_predict_ends_quietly_where_its_reader_has_enough(built: Path, tmp_path: Path) -> None:
    """`predict.py … | head`: the pipe is closed before all lines are written."""
    header, row = "opened,plan,seats,message\n", "2025-03-01,pro,3,hello\n"
    (tmp_path / "rows.csv").write_text(header + 3000 * row)
    command = [sys.executable, str(built / "data/bundle/tickets/predict.py"), str(tmp_path / "rows.csv"), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.readline()
        started.stdout.close()
        assert started.stderr.read() == b""
        assert started.wait() == 0


def test_an_unreadable_mail_does_not_cost_the_answers_to_the_others(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mail = next((built / "incoming" / "spam" / "spam-1").iterdir())
    (tmp_path / "empty.eml").write_bytes(b"")
    assert predict.main([str(tmp_path / "empty.eml"), str(mail)], built / "data" / "bundle" / "spam") == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert "empty.eml: no answer: The mail is empty" in first
    assert ": spam (" in second


def test_verify_names_a_changed_a_missing_and_an_added_file(
    bundle: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bundle("tickets")
    (folder / "contract.json").write_text("{}")
    (folder / "assay.json").unlink()
    (folder / "extra.txt").write_text("x")
    assert verify.main(folder) == 1
    printed = capsys.readouterr().err
    assert "contract.json has changed" in printed
    assert "assay.json is missing" in printed
    assert "extra.txt is not in the manifest" in printed


def test_verify_finds_a_model_that_answers_otherwise(
    bundle: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another model under a manifest that was made to fit: only the golden answers can tell."""
    import hashlib

    import onnx
    from onnx import numpy_helper

    folder = bundle("tickets")
    model = onnx.load(folder / "model.onnx")
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(0.1), weights.name))
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert verify.main(folder) == 1
    assert "golden row 0: probabilities differs by" in capsys.readouterr().err


def test_predict_answers_a_mail(built: Path) -> None:
    mail = next((built / "incoming" / "spam" / "spam-1").iterdir())
    answered = script(built / "data" / "bundle" / "spam", "predict.py", str(mail))
    assert answered.returncode == 0, answered.stderr
    assert ": spam (spam " in answered.stdout


def test_predict_answers_a_picture(built: Path, tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.full((56, 56), 20, np.uint8)
    pixels[20:40, 20:40] = 220
    Image.fromarray(pixels).save(tmp_path / "square.png")
    answered = script(built / "data" / "bundle" / "fashion", "predict.py", str(tmp_path / "square.png"), "--json")
    assert answered.returncode == 0, answered.stderr
    assert set(json.loads(answered.stdout)["probabilities"]) == {"bar", "cross", "square"}


def test_predict_makes_rows_of_records_as_training_did(built: Path) -> None:
    """The same invoices, as of the training cut-off, give the rows and answers of the splits."""
    import pyarrow.parquet as pq

    as_of = json.loads((built / "data" / "examples" / "retail" / "report.json").read_text())["as_of"]
    bundle = built / "data" / "bundle" / "retail"
    answered = script(
        bundle,
        "predict.py",
        "--records",
        str(built / "incoming" / "retail" / "invoices.csv"),
        "--as-of",
        as_of,
        "--json",
    )
    assert answered.returncode == 0, answered.stderr
    assert "40 records left out: CustomerID is missing" in answered.stderr
    given = {row["CustomerID"]: row["probabilities"]["yes"] for row in map(json.loads, answered.stdout.splitlines())}
    table = pq.read_table(built / "data" / "examples" / "retail" / "validation.parquet")
    contract, session = predict.load(bundle)
    rows = table.drop_columns(["_group", "buys_again"]).to_pylist()
    wanted = {
        answer["CustomerID"]: answer["probabilities"]["yes"] for answer in predict.predict(contract, session, rows)
    }
    assert len(wanted) > 10
    assert {customer: given[customer] for customer in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("opened,plan,seats,message\n2025-13-01,pro,3,hello\n", 'opened "2025-13-01" is not a time as ISO 8601'),
        ("opened,plan,seats,message\n2025-03-01,pro,12 pcs,hello\n", 'seats "12 pcs" is not a number'),
        ("opened,plan,seats,message\n2025-03-01,pro,0,hello\n", "seats 0 is below 1"),
    ],
)
def test_predict_says_which_value_is_wrong_and_answers_the_others(
    built: Path, tmp_path: Path, text: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(text + "2025-03-01,pro,3,hello\n")
    assert predict.main([str(tmp_path / "rows.csv")], built / "data" / "bundle" / "tickets") == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    assert complaint in first
    assert "(" in second
    assert "%" in second


def test_predict_refuses_what_it_cannot_read(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rows.json").write_text("{broken")
    bundle = built / "data" / "bundle" / "tickets"
    assert predict.main([str(tmp_path / "rows.json")], bundle) == 2
    assert predict.main([str(tmp_path / "absent.csv")], bundle) == 2
    assert predict.main([str(bundle / "model.onnx")], bundle) == 2
    complaints = capsys.readouterr().err
    assert "is not JSON" in complaints
    assert "absent.csv does not exist" in complaints
    assert ".onnx is not understood" in complaints


def test_a_package_without_a_passed_assay_is_refused(
    built: Path, tmp_path: Path, run_stage: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    project = Path(shutil.copytree(built, tmp_path / "project"))
    path = project / "data" / "assay" / "tickets" / "assay.json"
    report: dict[str, Any] = json.loads(path.read_text())
    path.write_text(
        json.dumps({**report, "passed": False, "reasons": ["gate (metric roc_auc, at_least 0.9): found 0.6"]})
    )
    before = {p: p.read_bytes() for p in (project / "data" / "bundle" / "tickets").rglob("*") if p.is_file()}
    with pytest.raises(SystemExit) as failure:
        run_stage(project, "tickets", "package")
    assert failure.value.code == 5
    assert "at_least 0.9" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in before} == before, "the former bundle stays"
    path.write_text(json.dumps({**report, "model_sha256": "0" * 64}))
    with pytest.raises(SystemExit):
        run_stage(project, "tickets", "package")
    assert "the assay is of another model" in capsys.readouterr().err
