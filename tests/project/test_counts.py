"""Duplicates, contradictions and rejects of the five real data sets, counted again in a few plain lines each."""

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from serving.mail import read_mail
from serving.prepare import parse_row
from stages import clean, fetch, ingest
from stages.contract import load
from stages.core.files import read_json

ROOT = Path(__file__).parent.parent.parent
Counts = dict[str, Any]


def extra(rows: Iterable[Any]) -> int:
    """How many rows repeat an earlier one."""
    return sum(count - 1 for count in Counter(rows).values())


def disputed(pairs: Iterable[tuple[Any, Any]]) -> tuple[int, int]:
    """Of (input, label): how many inputs have several labels, and how many pairs hold one of them."""
    labels = defaultdict(list)
    for value, label in pairs:
        labels[value].append(label)
    several = [found for found in labels.values() if len(set(found)) > 1]
    return len(several), sum(map(len, several))


def retail(raw: Path) -> Counts:
    broken, sound = Counter[str](), []
    with next(raw.rglob("*.csv")).open(encoding="latin-1", newline="") as file:
        for row in csv.DictReader(file):
            price, quantity = float(row["UnitPrice"]), float(row["Quantity"])
            found = {
                "CustomerID.required": not row["CustomerID"].strip(),
                "UnitPrice.min": price < 0.001,
                "UnitPrice.max": price > 50_000,
                "Quantity": abs(quantity) > 100_000,
            }
            if any(found.values()):
                broken.update(rule for rule, is_broken in found.items() if is_broken)
                continue
            moment = datetime.strptime(row["InvoiceDate"], "%m/%d/%Y %H:%M")
            words = [row[name].strip() for name in ("InvoiceNo", "StockCode", "CustomerID", "Country")]
            text = row["Description"].strip()[:100].rstrip()
            sound.append((*words, None if text in ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None") else text,
                          quantity, price, moment))  # fmt: skip
    return {"rules": dict(broken), "duplicates": extra(sound), "kept": len(sound)}


def fashion(raw: Path) -> Counts:
    rows = []
    for name in ("train", "t10k"):
        pixels = gzip.decompress(next(raw.rglob(f"{name}-images*")).read_bytes())[16:]
        labels = gzip.decompress(next(raw.rglob(f"{name}-labels*")).read_bytes())[8:]
        rows += [(pixels[784 * i : 784 * (i + 1)], label, name) for i, label in enumerate(labels)]
    groups, pairs = disputed((pixels, label) for pixels, label, _ in rows)
    return {"rules": {}, "duplicates": extra(rows), "kept": 70_000, "contradictions": (groups, pairs)}


def spam(raw: Path) -> Counts:
    """Parsed mail by mail with the code that serves."""
    columns = [column.describe(name) for name, column in load(ROOT / "params.yaml", "spam").columns.items()]
    rows = []
    for path in raw.rglob("*.txt"):
        mail = {**read_mail(path.read_bytes()), "folder": path.relative_to(raw).parts[0]}
        values, problems = parse_row(columns, mail)
        assert problems == []
        rows.append(tuple(values))
    label = [column["name"] for column in columns].index("folder")
    groups, pairs = disputed((row[:label] + row[label + 1 :], row[label]) for row in rows)
    return {"rules": {}, "kept": len(rows), "duplicates": extra(rows), "contradictions": (groups, pairs)}


def reviews(raw: Path) -> Counts:
    pairs = [(line.strip(), name) for name in ("pos", "neg")
             for line in (raw / f"{name}.txt").read_text(encoding="utf-8").split("\n") if line.strip()]  # fmt: skip
    unique = set(pairs)
    groups, rows = disputed(unique)
    return {
        "rules": {"contradiction": rows},
        "duplicates": extra(pairs),
        "contradictions": (groups, rows),
        "kept": len(unique) - rows,
    }


def delays(raw: Path) -> Counts:
    flights = list(
        zip(*(column.to_pylist() for column in pq.read_table(next(raw.rglob("*.parquet"))).columns), strict=True)
    )
    sound = [flight for flight in flights if flight[1] >= -120]
    return {
        "rules": {"delay.min": len(flights) - len(sound)},
        "duplicates": extra(sound),
        "kept": len(set(sound)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("count", [retail, fashion, spam, reviews, delays], ids=lambda count: count.__name__)
def test_what_clean_reports_is_what_a_plain_count_finds(
    count: Callable[[Path], Counts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    pipeline = count.__name__
    common = ["--pipeline", pipeline, "--status", str(tmp_path / "run")]
    sources = ["--sources", f"sources/{pipeline}"]
    fetch.main([*common, "--lock", f"sources/{pipeline}/lock.json", "--out", str(tmp_path / "raw")])
    ingest.main([*common, *sources, "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "records")])
    clean.main([*common, *sources, "--records", str(tmp_path / "records"), "--out", str(tmp_path / "clean")])
    report, expected = read_json(tmp_path / "clean" / "report.json"), count(tmp_path / "raw")
    assert report["rules"] == {rule: number for rule, number in expected["rules"].items() if number}
    assert report["kept"] == expected["kept"]
    if "duplicates" in expected:
        assert report["duplicates"]["rows"] == expected["duplicates"]
    if "contradictions" in expected:
        found = report["contradictions"]
        assert (found["groups"], found["rows"]) == expected["contradictions"]
