"""A typed table in; labelled train, validation and test examples, and a verdict on them, out.

Examples are the table's rows, or what `sources/<p>/derive.sql` makes of them as of a date. Splits
follow a stable hash, so rows that are added never move old ones. The verdict is "not passed"
where a split could mislead: leaks across splits, a leaked target, one class, an empty column.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from stages.columns import module_of
from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.core import cli, parts
from stages.core.errors import ContractError, DataError, suggest
from stages.core.files import write_json
from stages.examples import derive, leaks, split

SPLITS = ("train", "validation", "test")


class AsOf(BaseSection):
    """The cut-off: midnight that ends the last complete day of column `time`, less `days_before_end`."""

    time: str
    days_before_end: int = Field(ge=0)


class Split(BaseSection):
    """`by`: hash of each row, group (rows with equal `key` stay together), or an official column."""

    by: Literal["hash", "group", "official"] = "hash"
    key: list[str] | str = []
    column: str | None = None
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.15, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @property
    def keys(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else self.key

    @model_validator(mode="after")
    def complete(self) -> "Split":
        if self.by == "group" and not self.keys:
            raise ValueError("a key beside by: group, such as key: CustomerID")
        if self.by == "official" and not self.column:
            raise ValueError("a column beside by: official, whose values are train and test")
        if self.by != "official" and self.validation + self.test >= 1:
            raise ValueError("validation and test shares that leave rows to train on")
        return self


class Leaks(BaseSection):
    """`duplicates`: equal inputs on two sides of a split `block`, or are dropped from training."""

    duplicates: Literal["block", "drop"] = "block"
    max_column_score: float = Field(default=0.99, gt=0, le=1)  # balanced accuracy of one column alone


class Section(BaseSection):
    """`columns` and `target` are read by the contract itself."""

    target: dict[str, Any]
    derive: str | None = None
    as_of: AsOf | None = None
    columns: dict[str, Any] = {}
    split: Split = Split()
    leaks: Leaks = Leaks()


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.examples`."""
    section, path = contract.section("examples", Section), f"{contract.pipeline}.examples"
    columns = contract.example_columns
    for where, name in [
        *((f"{path}.split.key", key) for key in section.split.keys),
        (f"{path}.split.column", section.split.column),
    ]:
        if name is not None and name not in columns:
            raise ContractError(
                f"{where} is {name!r}, which is not declared.{suggest(name, columns)} Declared: {', '.join(columns)}"
            )
    if contract.example_columns[contract.target.column].type not in ("category", "boolean"):
        found = contract.example_columns[contract.target.column].type
        raise ContractError(
            f"{path}.target.column {contract.target.column!r} is a {found}; a category target needs a column of type "
            "category or boolean"
        )
    positive, values = contract.target.positive, getattr(columns[contract.target.column], "values", None)
    if positive is not None and values and positive not in values:
        hint = suggest(positive, values)
        raise ContractError(f"{path}.target.positive is {positive!r}.{hint} Declared: {', '.join(values)}")
    if not contract.input_columns:
        raise ContractError(f"{path} leaves no column for the model to see: all are ids, the target, or input: false")
    if section.as_of and section.as_of.time not in contract.columns:
        raise ContractError(
            f"{path}.as_of.time is {section.as_of.time!r}, which {contract.pipeline}.columns does not "
            f"declare.{suggest(section.as_of.time, contract.columns)}"
        )


def conform(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """Hold derived values against their declared columns. Raises DataError naming what breaks."""
    typed = {}
    for name, column in columns.items():
        if name not in table.column_names:
            raise DataError(
                f"derive.sql returns no column {name!r}, which examples.columns declares. It returns: "
                f"{', '.join(table.column_names)}"
            )
        values = table.column(name).combine_chunks()
        cleaned = module_of(column).clean(name, column, pa.array(values))
        for rule, mask in cleaned.broken.items():
            row = int(np.flatnonzero(mask)[0])
            raise DataError(
                f"derive.sql row {row + 1}: {name} is {values[row]}, which breaks {name}.{rule}; so do "
                f"{int(mask.sum()):,} of {len(mask):,} rows. Mend derive.sql, or examples.columns.{name}."
            )
        typed[name] = cleaned.values
    return pa.table(typed)


def make(table: pa.Table, contract: Contract, sources: Path) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Labelled splits and the report with its verdict."""
    section = contract.section("examples", Section)
    report: dict[str, Any] = {"records": table.num_rows}
    if section.derive:
        as_of = derive.cut_off(table, section.as_of) if section.as_of else None
        derived = derive.run(sources / section.derive, {"records": table}, as_of)
        table = conform(derived, contract.example_columns)
        report["as_of"] = as_of.isoformat() if as_of else None
    target = contract.target.column
    labelled = table.filter(pc.is_valid(table.column(target)))
    report |= {"examples": labelled.num_rows, "without_label": table.num_rows - labelled.num_rows}
    sides, groups = split.assign(labelled, section.split, list(contract.input_columns))
    labelled = labelled.append_column("_group", pa.array(groups, pa.int64()))
    drop, report["duplicates"] = leaks.across_splits(labelled, sides, list(contract.input_columns))
    if section.leaks.duplicates == "drop":
        report["duplicates"]["dropped"] = int(drop.sum())
        sides = np.where(drop, "", sides)
    splits = {name: labelled.filter(pa.array(sides == name)) for name in SPLITS}
    report["splits"] = {
        name: {"rows": part.num_rows, "classes": classes(part, target)} for name, part in splits.items()
    }
    reasons = leaks.judge(splits, contract, report["duplicates"], section.leaks)
    return splits, {"passed": not reasons, "reasons": reasons, **report}


def classes(part: pa.Table, target: str) -> dict[str, int]:
    counted = pc.value_counts(part.column(target)).to_pylist()
    return {str(item["values"]): item["counts"] for item in sorted(counted, key=lambda item: str(item["values"]))}


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("examples", "clean", "verdict", "sources", argv=argv) as job:
        cli.require_passed(job["verdict"])
        check(job.contract)
        splits, report = make(parts.read(job["clean"]), job.contract, job["sources"])
        for name, part in splits.items():
            pq.write_table(part, job.out / f"{name}.parquet", compression="zstd", compression_level=1)
        write_json(job.out / "report.json", report)
        sizes = ", ".join(f"{part.num_rows:,} {name}" for name, part in splits.items())
        job.say(
            f"{report['records']:,} rows → {sizes}{'' if report['passed'] else '; REFUSED: ' + report['reasons'][0]}"
        )
