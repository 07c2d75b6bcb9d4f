"""Poisoned files, each with the error that a user would want: what was found, where, and what to do."""

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import clean, ingest, validate
from stages.core import parts
from stages.core.files import read_json

ROOT = Path(__file__).parent.parent.parent
PARAMS = """
pipelines: {shop: {}}
shop:
  ingest: {format: %s}
  columns: {%s}
  clean: {}
  validate: {}
  examples: {target: {column: label}}
"""
TABLE = "when: {type: timestamp}, amount: {type: number}, label: {type: category}"
GOOD = "when,amount,label\n" + "2011-05-01,1,a\n2011-05-02,2,b\n" * 300


class Project:
    """Raw files and a contract; its stages up to `validate` run here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("raw", "sources"):
            (folder / name).mkdir()
        self.declare("csv", TABLE)

    def declare(self, form: str, columns: str) -> None:
        (self.folder / "params.yaml").write_text(PARAMS % (form, columns))

    def run(self, stage: Any, **paths: str) -> None:
        arguments = [f"--{name}={self.folder / path}" for name, path in paths.items()]
        common = ["--pipeline=shop", f"--params={self.folder / 'params.yaml'}", f"--status={self.folder / 'run'}"]
        stage.main([*common, *arguments, f"--sources={self.folder / 'sources'}"])

    def build(self) -> dict[str, Any]:
        """The report of `validate`."""
        self.run(ingest, raw="raw", out="records")
        self.run(clean, records="records", out="clean")
        self.run(validate, clean="clean", out="validation")
        report: dict[str, Any] = read_json(self.folder / "validation" / "report.json")
        return report


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    return Project(tmp_path)


@pytest.fixture
def said(project: Project, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the user reads, as one line, when a stage fails with this exit code."""

    def fail(code: int) -> str:
        with pytest.raises(SystemExit) as stopped:
            project.build()
        assert stopped.value.code == code
        return " ".join(capsys.readouterr().err.split())

    return fail


def test_sound_files_pass(project: Project) -> None:
    (project.folder / "raw" / "a.csv").write_text(GOOD)
    assert project.build()["passed"]


def test_a_wrong_encoding_is_refused_with_the_lines_kept(project: Project) -> None:
    (project.folder / "raw" / "a.csv").write_bytes(GOOD.encode() + "2011-05-03,3,café\n".encode("latin-1") * 30)
    report = project.build()
    assert not report["passed"]
    assert any("malformed" in reason and "0.01" in reason for reason in report["reasons"])
    malformed = pq.read_table(project.folder / "records" / "malformed.parquet").to_pylist()
    assert len(malformed) == 30
    assert (malformed[0]["_file"], malformed[0]["_line"]) == ("a.csv", 602)
    assert "utf-8" in malformed[0]["reason"]


def test_a_binary_file_called_csv_is_told_of(project: Project, said: Any) -> None:
    (project.folder / "raw" / "a.csv").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 40)
    message = said(4)
    assert "a.csv" in message
    assert "binary" in message or "not a CSV" in message or "not text" in message


def test_a_header_of_100_000_columns_is_told_of(project: Project, said: Any) -> None:
    header = ",".join(f"c{i}" for i in range(100_000))
    (project.folder / "raw" / "a.csv").write_text(f"{header}\n{'1,' * 99_999}1\n")
    message = said(4)
    assert "100,000 columns" in message
    assert "max_columns" in message


def test_a_wrong_delimiter_is_named(project: Project, said: Any) -> None:
    (project.folder / "raw" / "a.csv").write_text(GOOD.replace(",", ";"))
    message = said(4)
    assert "delimiter" in message
    assert '";"' in message or "';'" in message


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_a_picture_of_50_000_by_50_000_pixels_is_a_reject_and_takes_no_memory(project: Project) -> None:
    from PIL import Image

    project.declare(
        'files, column: picture, path: "^(?P<label>.)"',
        "picture: {type: image, height: 8, width: 8, required: true}, label: {type: category}",
    )
    for place in range(6):
        file = io.BytesIO()
        Image.new("RGB", (9, 9), (place * 40, 0, 0)).save(file, "PNG")
        (project.folder / "raw" / f"{'ab'[place % 2]}{place}.png").write_bytes(file.getvalue())
    (project.folder / "raw" / "bomb.png").write_bytes(png_header(50_000, 50_000))
    report = project.build()
    assert any("picture.image" in reason for reason in report["reasons"])
    assert parts.num_rows(project.folder / "clean" / "table") == 6
    rejects = pq.read_table(project.folder / "clean" / "rejects.parquet").to_pylist()
    assert [(row["_file"], row["_rules"]) for row in rejects] == [("bomb.png", ["picture.image"])]


@pytest.mark.parametrize(
    ("lines", "rules"),
    [
        ("2011-05-01,NaN,a\n2011-05-01,inf,a\n2011-05-01,-inf,a\n2011-05-01,1e999,a\n", {"amount.number": 3}),
        ("0000-01-01,1,a\n9999-12-31,1,a\n10000-01-01,1,a\n", {"when.max": 1, "when.timestamp": 2}),
    ],
    ids=["infinities", "years"],
)
def test_numbers_and_dates_at_the_edge_are_rejects(project: Project, lines: str, rules: dict[str, int]) -> None:
    project.declare("csv", TABLE.replace("timestamp}", 'timestamp, max: "2030-01-01"}'))
    (project.folder / "raw" / "a.csv").write_text(GOOD + lines)
    project.build()
    found = read_json(project.folder / "clean" / "report.json")
    assert found["rules"] == rules  # NaN is a spelling of "no value"


def test_typed_nan_and_infinities_are_told_apart(project: Project) -> None:
    project.declare("parquet", TABLE)
    rows = {"when": [None] * 4, "amount": [1.0, float("nan"), float("inf"), None], "label": ["a", "b", "a", "b"]}
    schema = pa.schema([("when", pa.timestamp("us")), ("amount", pa.float64()), ("label", pa.string())])
    pq.write_table(pa.table(rows, schema), project.folder / "raw" / "a.parquet")
    project.build()
    found = read_json(project.folder / "clean" / "report.json")
    assert (found["rules"], found["missing"]["amount"]) == ({"amount.number": 1}, 2)


def test_a_misspelt_key_suggests_the_right_one(project: Project, said: Any) -> None:
    text = (project.folder / "params.yaml").read_text()
    (project.folder / "params.yaml").write_text(text.replace("clean: {}", "clean: {duplicate: merge}"))
    (project.folder / "raw" / "a.csv").write_text(GOOD)
    assert "shop.clean.duplicate is not a known key. Did you mean 'duplicates'?" in said(2)


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """The stages' folder `out/` on a disk of 2 MB."""
    folder = project.folder / "out"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_what_was_there_stays(project: Project, small_disk: Path, said: Any) -> None:
    (project.folder / "raw" / "a.csv").write_text(GOOD)
    project.run(ingest, raw="raw", out="out/records")
    before = {path.name: path.read_bytes() for path in (small_disk / "records").rglob("*") if path.is_file()}
    os.environ["INGOT_STORE"] = str(small_disk / "store")
    noise = os.urandom(4 << 20).hex()
    rows = [f"2011-05-01,1,{noise[i : i + 64]}" for i in range(0, len(noise), 64)]
    (project.folder / "raw" / "a.csv").write_text("when,amount,label\n" + "\n".join(rows))
    with pytest.raises(SystemExit) as stopped:
        project.run(ingest, raw="raw", out="out/records")
    assert stopped.value.code == 7
    after = {path.name: path.read_bytes() for path in (small_disk / "records").rglob("*") if path.is_file()}
    assert after == before
    assert not list(small_disk.glob(".*.partial"))


def test_python_tags_in_params_are_refused(project: Project) -> None:
    (project.folder / "params.yaml").write_text("pipelines: !!python/object/apply:os.system ['touch owned']\n")
    command = [sys.executable, "-m", "stages.contract", "check", "--params", str(project.folder / "params.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is not valid YAML" in done.stderr
    assert not (ROOT / "owned").exists()
