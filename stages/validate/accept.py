"""A cleaned table that passed in; `sources/<p>/reference.json`, against which drift is measured, out.

    python -m stages.validate --accept retail

An act of judgement, not of the graph: somebody has looked at the data and takes it as the norm.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.contract import load
from stages.core import cli, parts
from stages.core.errors import IngotError, RefusedError
from stages.core.files import hash_json, read_json, sha256, write_json
from stages.validate.drift import FILE, reference_of


def accept(table: Path, columns: Mapping[str, Any], report: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Write the reference. Raises RefusedError where the report is of another table, or something else failed.

    A limit on drift may have failed: that is what accepting changes.
    """
    if report.get("table") != hash_json([sha256(part) for part in parts.files(table)]):
        raise RefusedError(f"the report is not of the present {table}. Run validate first, then accept what it passed")
    failed = [
        result["type"]
        for result in report["results"]
        if not result["success"] and result.get("severity", "fail") == "fail" and result["from"] != "drift"
    ]
    if failed or not report["results"]:
        raise RefusedError(
            f"the table has not passed, so it is no reference; failed: {', '.join(failed) or 'everything'}"
        )
    reference = {**reference_of(table, columns), "table": report["table"]}
    write_json(path, reference)
    return reference


def show(reference: Mapping[str, Any]) -> str:
    """What a reference holds, a line a column."""
    lines = []
    for name, held in reference["columns"].items():
        rows = held["missing"] + held["present"]
        line = f"  {name}: {held['present']:,} values, {held['missing'] / max(rows, 1):.2%} missing"
        if held["kind"] == "number" and held["edges"]:
            edges = held["edges"]
            line += f"; from {edges[0]:g} over {edges[len(edges) // 2]:g} to {edges[-1]:g}, {len(edges)} quantiles"
        elif held["kind"] == "category":
            common = sorted(held["counts"].items(), key=lambda item: (-item[1], item[0]))[:3]
            shares = ", ".join(f"{value} {count / max(rows, 1):.1%}" for value, count in common)
            line += f"; {len(held['counts'])} categories: {shares}"
        lines.append(line)
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.validate")
    parser.add_argument("--accept", required=True, metavar="PIPELINE", dest="pipeline")
    for name, folder in (("clean", "data/clean"), ("validation", "data/validation"), ("sources", "sources")):
        parser.add_argument(f"--{name}", type=Path, help=f"default: {folder}/<pipeline>")
        parser.set_defaults(**{f"{name}_folder": folder})
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--status", type=Path, default=Path("data/.run"))
    found = parser.parse_args(argv)
    at = {
        name: getattr(found, name) or Path(getattr(found, f"{name}_folder")) / found.pipeline
        for name in ("clean", "validation", "sources")
    }
    with cli.reporting("accept", found.pipeline, found.status / f"{found.pipeline}.accept.json") as told:
        told.contract = load(found.params, found.pipeline)
        columns = told.contract.columns
        report = at["validation"] / "report.json"
        if not report.exists():
            raise IngotError(f"{report} does not exist. Run `dvc repro validate@{found.pipeline}` first.")
        reference = accept(at["clean"] / "table", columns, read_json(report), at["sources"] / FILE)
        print(f"{at['sources'] / FILE}: accepted {reference['rows']:,} rows\n{show(reference)}")
