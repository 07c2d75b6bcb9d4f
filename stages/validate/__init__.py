"""A typed table in; a verdict with every expectation's result out, by Great Expectations.

The suite is derived from the contract: a re-check that shares no code with `clean`. To it come
what cleaning cannot promise (row count, reject shares, missing shares, class balance, drift,
freshness) and the user's own expectations. Fails closed: an expectation that errors, a part that
cannot be read, or a suite with nothing in it, is a failure. What is declared `warn` is reported
and refuses nothing.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.contract import Contract
from stages.contract.column import shown_classes
from stages.core import cli, parts
from stages.core.files import read_json, write_json, write_text
from stages.validate import checks, whole
from stages.validate.chunks import Plan, Tally, examine, unreadable
from stages.validate.docs import data_docs
from stages.validate.drift import FILE, check_drift, read_reference
from stages.validate.expectations import Engine
from stages.validate.failing import named, write_failing
from stages.validate.page import page
from stages.validate.report import headline, summarise, verdict
from stages.validate.section import Drift, Section, check
from stages.validate.suite import Check, Way, chunked, derive_suite, route
from stages.validate.summary import Summary

__all__ = ["Section", "check", "main", "validate"]

Answer = tuple[dict[str, Any], Sequence[Any]]  # Great Expectations' answer, and the first broken rows


def run_suite(folder: Path, contract: Contract, section: Section, sources: Path) -> "Found":
    """Every expectation and every limit on drift, in the order of the suite."""
    paths, columns, reference = parts.files(folder), contract.columns, read_reference(sources)
    schema = parts.schema(folder)
    suite = derive_suite(columns, section)
    ways = [route(item, dict(zip(schema.names, schema.types, strict=True)), columns) for item in suite]
    engine = Engine(f"{contract.pipeline}.validate")
    engine.suite(suite)  # a wrong name or argument is told before anything runs
    target = target_of(contract)
    held = reference.get("columns", {})
    plan = Plan(contract.pipeline, columns, chunked(suite, ways), target, held, section.failing_rows)
    tallies, summary, state = examine(paths, plan, engine)
    if state["broken"]:
        return Found([], [], summary, state["table"], state["broken"])
    by_place = {item["place"]: tally for item, tally in zip(plan.checks, tallies, strict=True)}
    results, rows = [], list[Sequence[Any]]()
    with ExitStack() as stack:
        database = stack.enter_context(whole.connection(paths)) if "duckdb" in ways else None
        at = At(folder, schema, columns, section.failing_rows, database, summary)
        for place, (item, way) in enumerate(zip(suite, ways, strict=True)):
            tally = by_place.get(place, Tally())
            (answer, broken), taken = answer_of(way, item, tally, engine, at)
            results.append(summarise(item, answer, taken, columns, tally.sample))
            rows.append(broken)
    drifted = check_drift(section.drift, columns, summary, reference, contract.pipeline)
    docs = data_docs(engine, suite, results, state["table"])
    return Found([*results, *drifted], [*rows, *([] for _ in drifted)], summary, state["table"], {}, docs)


@dataclass(frozen=True)
class At:
    """What an expectation is computed on."""

    folder: Path
    schema: pa.Schema
    columns: Mapping[str, Any]
    kept: int
    database: Any
    summary: Summary


def answer_of(way: Way, item: Check, tally: Tally, engine: Engine, at: At) -> tuple[Answer, Way]:
    """One expectation, computed as its way says. Where DuckDB cannot, pandas does."""
    try:
        if way == "chunks":
            return (whole.by_chunks(engine, item, tally), tally.rows), way
        if way == "arrow":
            return (whole.by_arrow(engine, item, at.summary, at.schema), []), way
        if way == "duckdb":
            import duckdb

            try:
                paths = parts.files(at.folder)
                return whole.by_duckdb(engine, item, at.database, at.schema, paths, at.kept), way
            except duckdb.Error:  # such as out of memory
                way = "whole"
        return whole.by_pandas(engine, item, at.folder, at.columns, at.kept), way
    except Exception as error:  # an expectation that errors is one that is not met
        return ({"success": False, "result": {}, "error": f"{type(error).__name__}: {error}"}, []), way


def target_of(contract: Contract) -> str | None:
    """The target where it is a column of the table that has classes."""
    name = contract.target.column
    return name if name in contract.columns and contract.columns[name].type in ("category", "boolean") else None


@dataclass(frozen=True)
class Found:
    """The results with the rows that broke each, the table's summary, its hash, and parts that could not be read."""

    results: list[dict[str, Any]]
    rows: list[Sequence[Any]]
    summary: Summary
    table: str
    broken: Mapping[str, str]
    docs: str = ""


def validate(folder: Path, contract: Contract, sources: Path, out: Path) -> dict[str, Any]:
    """The report on the table in `folder`. Writes failing rows and Data Docs to `out`."""
    section, table = contract.section("validate", Section), folder / "table"
    broken = unreadable(parts.files(table)) if parts.files(table) else {"table": "has no part"}
    found = Found([], [], {}, "", broken) if broken else run_suite(table, contract, section, sources)
    results, saved = list(found.results), 0
    if not found.broken:
        results += own_checks(contract, section, found.summary)
        write_text(out / "docs" / "index.html", found.docs)
        saved = save_failing(table, contract.columns, results, found.rows, out / "failing.parquet")
    results = [checks.unreadable_part(name, why) for name, why in found.broken.items()] + results
    results += checks.check_rejects(read_json(folder / "report.json"))
    notes = []
    if not (sources / FILE).exists() and section.drift == Drift():
        accept = f"`python -m stages.validate --accept {contract.pipeline}`"
        notes.append(f"no reference yet: drift is not watched. {accept} writes one from accepted data")
    return {
        **{key: value for key, value in verdict(results).items() if key != "results"},
        "notes": notes,
        "rows": found.summary.get("rows", 0),
        "failing_rows_saved": saved,
        "table": found.table,
        "results": results,
    }


def own_checks(contract: Contract, section: Section, summary: Summary) -> list[dict[str, Any]]:
    found = []
    if target_of(contract):
        found.append(
            checks.check_classes(class_counts(contract, summary), contract.target.column, section.min_class_share)
        )
    if section.freshness:
        found.append(checks.check_freshness(section.freshness, summary, contract.columns, os.environ.get(checks.NOW)))
    return found


def class_counts(contract: Contract, summary: Summary) -> dict[str, int]:
    """The target's counts; the names of a personal target's classes stay out of the report."""
    counts = dict(sorted(summary["classes"].items()))
    return shown_classes(contract.columns[contract.target.column], counts)


def save_failing(
    table: Path,
    columns: Mapping[str, Any],
    results: Sequence[dict[str, Any]],
    rows: Sequence[Sequence[Any]],
    path: Path,
) -> int:
    """Write the rows of what failed; each result then says how many of its unexpected rows were kept."""
    broken = []
    for place, (result, found) in enumerate(zip(results, rows, strict=False)):
        if not result["success"] and found:
            broken.append((named(place, result), found))
            result["observed"]["failing_rows_saved"] = len(found)
    return write_failing(table, columns, broken, path)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("validate", "clean", "sources", argv=argv) as job:
        report = validate(job["clean"], job.contract, job["sources"], job.out)
        write_json(job.out / "report.json", report)
        write_text(job.out / "report.html", page(job.contract.pipeline, report))
        job.say(headline(report))
