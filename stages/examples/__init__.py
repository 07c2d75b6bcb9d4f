"""A typed table in; labelled train, validation and test examples, and a verdict on them, out.

Examples are the table's rows, or what `sources/<p>/derive.sql` makes of them as of one date or several. Splits
follow a stable hash, or time. The verdict is "not passed" where a split could mislead: a query that looks into
the future, leaks across splits, a leaked target, one class, an empty column.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.contract import Contract
from stages.contract.column import personal
from stages.core import cli, parts
from stages.core.files import write_json
from stages.examples import derive, future, items, judge, leaks, split
from stages.examples.derive import conform
from stages.examples.settings import AS_OF, AsOf, Leaks, Section, Split, check
from stages.examples.split import LEFT_OUT, SIDES

__all__ = ["AsOf", "Leaks", "Section", "Split", "check", "conform", "main", "make"]


def examples_of(records: pa.Table, contract: Contract, query: Path) -> tuple[pa.Table, dict[str, Any], list[str]]:
    """What the query makes of the records at each date, its part of the report, and reasons against it."""
    as_of, columns = contract.section("examples", Section).as_of, contract.example_columns
    hidden = personal({**contract.columns, **columns})
    if as_of is None:
        reason = "examples.as_of is not declared, so there is no future to look into"
        table = conform(derive.run(query, {"records": records}, None, personal=hidden), columns)
        return table, {"as_of": None, "point_in_time": f"not checked: {reason}"}, []
    dates = derive.cut_offs(records, as_of)
    ids = ids_of(contract)
    names = SimpleNamespace(
        time=as_of.time,
        target=contract.target.column,
        ids=ids,
        shown=[name for name in ids if name not in hidden],
        personal=hidden,
        horizon_days=as_of.horizon,
    )
    tables, reasons = [], []
    for date in dates:
        derived = derive.run(query, {"records": records}, date, personal=hidden)
        tables.append(conform(derived, columns))
        reasons += future.reasons(query, records, derived.select(list(columns)), date, names)
    report = {
        "as_of": dates[-1].isoformat(),
        "dates": {date.isoformat(): table.num_rows for date, table in zip(dates, tables, strict=True)},
        "point_in_time": "not passed" if reasons else "passed",
    }
    return derive.dated(tables, dates, AS_OF), report, reasons


def make(table: pa.Table, contract: Contract, sources: Path) -> tuple[dict[str, pa.Table], dict[str, Any], pa.Table]:
    """Labelled splits, the report with its verdict, and the list of rows that leak."""
    section = contract.section("examples", Section)
    report: dict[str, Any] = {"records": table.num_rows}
    reasons: list[str] = []
    records = table if contract.target.items else None
    if section.derive:
        table, found, reasons = examples_of(table, contract, sources / section.derive)
        report |= found
    labelled = with_labels(table, contract)
    report |= {"examples": labelled.num_rows, "without_label": table.num_rows - labelled.num_rows}
    del table
    same = leaks.keys(labelled, contract, section.leaks)
    # An entity at several dates is one group, whatever the split: its rows are not independent.
    several = section.as_of is not None and section.as_of.count > 1
    names = section.split.keys or (ids_of(contract) if several else [])
    groups = split.hash_rows(labelled, names) if names else same["duplicates"]
    then = leaks.declared(section.leaks)
    if joined := [same[kind] for kind, wanted in then.items() if wanted == "together"]:
        groups = leaks.together(groups, *joined)
    sides = split.assign(
        labelled,
        section.split,
        groups,
        target=contract.target.column,
        time=section.time,
        horizon_days=section.as_of.horizon if section.as_of and section.time == AS_OF else 0,
    )
    report["split"] = {"by": section.split.by, "left_out": int((sides == LEFT_OUT).sum()), **promise(section)}
    found = {kind: leaks.across(key, sides) for kind, key in same.items()}
    del same
    columns = contract.example_columns
    listing = pa.concat_tables([leaks.listed(kind, each, sides, labelled, columns) for kind, each in found.items()])
    report |= {kind: {"then": then[kind], **leaks.summary(each[0])} for kind, each in found.items()}
    for kind, (leaked, _) in found.items():
        if then[kind] == "drop":
            report[kind]["dropped"] = int(leaked.sum())
            sides = np.where(leaked, LEFT_OUT, sides)
    labelled = labelled.append_column("_group", pa.array(groups, pa.int64()))
    splits = {name: labelled.filter(pa.array(sides == place)) for place, name in enumerate(SIDES)}
    if records is not None:
        splits["train"], report["items"], found_against = items.added(records, splits, contract, sources)
        reasons += found_against
    report["splits"] = {name: judge.describe(part, contract) for name, part in splits.items()}
    reasons += emptied(report, section)
    reasons += leaks.blocked(report, section.leaks)
    reasons += judge.judge(splits, contract, section.leaks)
    return splits, {"passed": not reasons, "reasons": reasons, **report}, listing


def ids_of(contract: Contract) -> list[str]:
    return [name for name, column in contract.example_columns.items() if column.type == "id"]


def with_labels(table: pa.Table, contract: Contract) -> pa.Table:
    """The rows of which all that says what is true is known."""
    for name in contract.target.columns:
        if table.column(name).null_count:
            table = table.filter(pc.is_valid(table.column(name)))
    return table


def emptied(report: Mapping[str, Any], section: Section) -> list[str]:
    """Why a split by time has a side without rows, where its gaps are the cause."""
    empty = [name for name, part in report["splits"].items() if not part["rows"]]
    if not empty or section.split.by != "time" or not report["split"]["left_out"]:
        return []
    dated = section.time == AS_OF and section.as_of
    days = section.split.gap_days or (section.as_of.horizon if dated and section.as_of else 0)
    fix = (
        f"Take more dates, or dates further apart (as_of.every_days: {days})"
        if dated
        else "Lower gap_days, or take records of a longer time"
    )
    return [
        f"{' and '.join(empty)} has no row: {report['split']['left_out']:,} of {report['examples']:,} were left out: "
        f"each side begins {days} days after the one before it ends. {fix}"
    ]


def promise(section: Section) -> dict[str, Any]:
    """What holds of this split, in words for the report."""
    by, keys, together = section.split.by, section.split.keys, "together" in leaks.declared(section.leaks).values()
    holds = []
    if by == "time":
        gap = section.split.gap_days
        days = section.as_of.horizon if gap is None and section.as_of and section.time == AS_OF else gap or 0
        lies = f"at least {days} days before" if days else "before"
        holds.append(f"each row of train lies {lies} the first of validation, and each of validation before test")
    if keys and by != "official":
        holds.append(f"rows with equal {' and '.join(keys)} stand on one side")
    moves = {
        "stratified": "adding rows may move others, as shares are kept",
        "time": "adding newer rows moves the borders, unless test_from and validation_from are given",
    }
    fixed = by == "time" and section.split.test_from and section.split.validation_from
    told = None if fixed else moves.get(by)
    if together:
        told = f"{told}; " if told else ""
        told += "adding a row that joins two groups may move one of them"
    return {"holds": holds, "moves": told or "adding rows moves no other row"}


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("examples", "clean", "verdict", "sources", argv=argv) as job:
        cli.require_passed(job["verdict"])
        check(job.contract)
        splits, report, listing = make(parts.read(job["clean"]), job.contract, job["sources"])
        for name, part in splits.items():
            pq.write_table(part, job.out / f"{name}.parquet", compression="zstd", compression_level=1)
        pq.write_table(listing, job.out / "leaks.parquet", compression="zstd", compression_level=1)
        write_json(job.out / "report.json", report)
        sizes = ", ".join(f"{part.num_rows:,} {name}" for name, part in splits.items())
        used = sum(part.num_rows for part in splits.values())
        out = f", {report['examples'] - used:,} left out" if used < report["examples"] else ""
        refused = "" if report["passed"] else f"; REFUSED: {report['reasons'][0]}"
        job.say(f"{report['records']:,} rows → {sizes}{out}{refused}")
