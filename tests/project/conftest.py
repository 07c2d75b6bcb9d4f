"""Small raw data of four kinds, a project that holds it, and the line run over it in one process."""

import csv
import gzip
import random
import shutil
import struct
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
FIXTURES = Path(__file__).parent / "params.yaml"


def write_retail(folder: Path) -> None:
    """Invoice lines of 260 customers, in the form and with the faults of the real file."""
    chance = random.Random(7)
    lines = []
    for customer in range(12000, 12260):
        habit = chance.choice([10, 25, 60, 150])  # days between orders
        day, order = chance.randrange(40), 0
        while day < 372:
            order += 1
            invoice = f"{536000 + (customer - 12000) * 100 + order}"
            month, date = divmod(day, 31)
            year = 2010 if month == 0 else 2011
            time = f"{chance.randrange(8, 18)}:{chance.randrange(60):02d}"
            moment = f"{1 + (month + 11) % 12}/{date % 28 + 1}/{year} {time}"
            for _ in range(chance.randrange(1, 4)):
                line = [
                    invoice,
                    str(chance.randrange(20000, 20040)),
                    "MUG, RED £",
                    chance.randrange(1, 12),
                    moment,
                    "2.55",
                    customer,
                    "France" if customer % 5 == 0 else "United Kingdom",
                ]
                lines.append(line)
                if chance.random() < 0.04:
                    lines.append(["C" + invoice, line[1], line[2], -int(line[3]), *line[4:]])
            day += max(1, round(chance.expovariate(1 / habit)))
    lines += [["537000", "22111", "NO CUSTOMER", 1, "3/3/2011 9:00", "1.25", "", "France"]] * 40
    lines += [["537001", "POST", "POSTAGE", 1, "3/3/2011 9:00", "0", 12001, "France"]]
    lines.append(["538000", "22112", "LAST", 1, "12/9/2011 12:50", "1.25", 12259, "France"])
    header = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
    with (folder / "invoices.csv").open("w", encoding="latin-1", newline="") as file:
        csv.writer(file).writerows([header, *lines])


def write_fashion(folder: Path) -> None:
    """Bars, squares and crosses of 28 × 28 pixels with noise, as gzipped IDX files."""
    generator = np.random.default_rng(3)
    for part, count in (("train", 360), ("t10k", 120)):
        labels = np.arange(count) % 3
        pictures = generator.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            x, y = generator.integers(4, 16, 2)
            if label != 1:
                picture[y : y + 3, 2:26] = 220
            if label == 1:
                picture[y : y + 9, x : x + 9] = 220
            if label == 2:
                picture[2:26, x : x + 3] = 220
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28) + pictures.tobytes()
        names = struct.pack(">BBBBI", 0, 0, 8, 1, count) + labels.astype(np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(names, mtime=0))


def write_spam(folder: Path) -> None:
    """240 hand-made mails: half sell something, half talk about work."""
    chance = random.Random(5)
    selling = ["free", "winner", "cash", "click", "offer", "guarantee", "!!!", "dollars"]
    working = ["patch", "meeting", "build", "thanks", "release", "branch", "kernel", "regards"]
    common = ["the", "and", "you", "for", "list", "today", "mail", "we"]
    for number in range(240):
        spam = number % 2 == 0
        words = [chance.choice(common + (selling if spam else working)) for _ in range(30)]
        head = f"From: a{number}@example.org\nTo: b@example.org\nSubject: {' '.join(words[:3])}\n"
        kind = "text/html" if spam and number % 3 == 0 else "text/plain"
        body = (
            f"<html><p>{' '.join(words)} <a href='http://x.example/{number}'>go</a></p></html>"
            if kind == "text/html"
            else " ".join(words)
        )
        target = folder / ("spam-1" if spam else "easy-ham-1") / f"{number:03d}.txt"
        target.parent.mkdir(exist_ok=True)
        target.write_text(f"{head}Content-Type: {kind}; charset=utf-8\n\n{body} {number}\n", encoding="utf-8")


def write_tickets(path: Path, *, num_rows: int = 900, seed: int = 1) -> None:
    """A table that the project has never seen: dates, a category, numbers, free text, yes or no."""
    chance = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["opened", "plan", "seats", "message", "churned"])
        for number in range(num_rows):
            churned = chance.random() < 0.4
            mood = "refund cancel broken slow" if churned else "great thanks upgrade invite"
            message = " ".join(chance.choice((mood + " the app team please hello").split()) for _ in range(9))
            seats = "" if number % 50 == 0 else chance.randrange(1, 6 if churned else 60)
            writer.writerow(
                [
                    f"2025-{1 + number % 12:02d}-{1 + number % 28:02d}",
                    chance.choice(["free", "pro", "team"]),
                    seats,
                    f"{message} n°{number}",
                    "yes" if churned else "no",
                ]
            )


@pytest.fixture(scope="session")
def raw_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `incoming/` with all raw data."""
    folder = tmp_path_factory.mktemp("raw") / "incoming"
    for name in ("retail", "fashion", "spam"):
        (folder / name).mkdir(parents=True)
    write_retail(folder / "retail")
    write_fashion(folder / "fashion")
    write_spam(folder / "spam")
    write_tickets(folder / "tickets.csv")
    return folder


@pytest.fixture(scope="session")
def make_project(raw_data: Path) -> Callable[[Path], Path]:
    """Copies what git tracks, the fixture's params.yaml and raw data into a folder; makes the locks."""

    def make(folder: Path) -> Path:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            if name.startswith(("tests/", "sources/")) or name == "dvc.lock" or not (ROOT / name).is_file():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
        shutil.copyfile(FIXTURES, folder / "params.yaml")
        shutil.copytree(raw_data, folder / "incoming")
        (folder / "sources" / "retail").mkdir(parents=True)
        shutil.copyfile(ROOT / "sources" / "retail" / "derive.sql", folder / "sources" / "retail" / "derive.sql")
        from stages.fetch import refresh

        for pipeline in YAML(typ="safe").load(FIXTURES)["pipelines"]:
            refresh(pipeline, params=folder / "params.yaml")
        return folder

    return make


@pytest.fixture(scope="session")
def run_stage() -> Callable[..., None]:
    """Runs stages of one pipeline in this process with the commands of dvc.yaml. SystemExit on failure."""
    graph = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

    def run(project: Path, pipeline: str, *stages: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project)
            for stage in stages or tuple(graph):
                command = graph[stage]["do"]["cmd"].replace("${key}", pipeline).split()
                import_module(f"stages.{stage}").main(command[3:])

    return run


@pytest.fixture(scope="session")
def built(
    make_project: Callable[[Path], Path], run_stage: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project whose four pipelines were built in this process."""
    project = make_project(tmp_path_factory.mktemp("built"))
    for pipeline in ("retail", "fashion", "spam", "tickets"):
        run_stage(project, pipeline)
    return project


@pytest.fixture
def params(tmp_path: Path) -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """Edits a project's params.yaml."""

    def edit(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
        yaml = YAML()
        content = yaml.load(project / "params.yaml")
        change(content)
        yaml.dump(content, project / "params.yaml")

    return edit
