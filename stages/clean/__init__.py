"""Records in; a typed table, and every record that is not in it with the rule it broke, out.

kept + rejected + merged = records in, checked at run time. Rejects never stop this stage:
`validate` holds their shares against `clean.max_rejected`, so the report is never lost.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, field_validator

from stages.columns import module_of
from stages.contract import Contract
from stages.contract.section import Section as BaseSection
from stages.core import cli, parts
from stages.core.errors import ContractError, suggest
from stages.core.files import write_json
from stages.core.parts import Writer

RULES = pa.list_(pa.string())


class Section(BaseSection):
    """`max_rejected`: the largest share of records that a rule may reject, as {Column.rule: share}."""

    max_rejected: dict[str, float] = Field(default={"default": 0.01})
    merge_duplicates: bool = False  # records that are equal in every declared column become one

    @field_validator("max_rejected")
    @classmethod
    def shares(cls, limits: dict[str, float]) -> dict[str, float]:
        for rule, share in limits.items():
            if not 0 <= share <= 1:
                raise ValueError(f"a share between 0 and 1 for {rule!r}")
        return {"default": 0.01, **limits}


def check(contract: Contract) -> None:
    """Raise ContractError where `max_rejected` names a column that is not declared."""
    for rule in contract.section("clean", Section).max_rejected:
        column = rule.rpartition(".")[0]
        if rule not in ("default", "malformed") and column not in contract.columns:
            rules = [f"{name}.required" for name in contract.columns]
            raise ContractError(
                f"{contract.pipeline}.clean.max_rejected.{rule} is no rule: rules are written Column.rule, "
                f"such as {rules[0]}.{suggest(rule, rules)}"
            )


@dataclass
class Counts:
    """What became of the records so far."""

    records: int = 0
    kept: int = 0
    rejected: int = 0
    merged: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)

    def report(self, section: Section, names: Sequence[str]) -> dict[str, Any]:
        assert self.kept + self.rejected + self.merged == self.records, "a record was lost or counted twice"
        return {
            "records": self.records,
            "kept": self.kept,
            "rejected": self.rejected,
            "merged": self.merged,
            "rules": dict(sorted(self.rules.items())),
            "missing": {name: self.missing[name] for name in names},
            "max_rejected": section.max_rejected,
        }


def clean_batch(records: pa.Table, columns: Mapping[str, Any]) -> tuple[pa.Table, dict[int, list[str]]]:
    """Type one batch. Returns all its rows, and the rules broken by those that broke any."""
    typed: dict[str, pa.Array] = {}
    reasons: dict[int, list[str]] = {}
    for name, column in columns.items():
        cleaned = module_of(column).clean(name, column, records.column(name).combine_chunks())
        typed[name] = cleaned.values
        for rule, mask in cleaned.broken.items():
            for row in np.flatnonzero(mask).tolist():
                reasons.setdefault(row, []).append(f"{name}.{rule}")
    return pa.table(typed), reasons


def duplicates(table: pa.Table, seen: set[bytes]) -> np.ndarray:
    """True for each row whose values were seen before. `seen` grows by 16 bytes a distinct row."""
    import hashlib

    repeated = np.zeros(table.num_rows, bool)
    for i, row in enumerate(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True)):
        key = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        repeated[i] = key in seen
        seen.add(key)
    return repeated


def clean(folder: Path, columns: Mapping[str, Any], section: Section, out: Path) -> dict[str, Any]:
    """Stream `records.parquet` to `table.parquet` and `rejects.parquet`; returns the report."""
    counts, seen = Counts(), set[bytes]()
    sources = parts.files(folder / "parts")
    (out / "table").mkdir()
    rejects = Writer(out / "rejects.parquet", parts.schema(folder / "parts").append(pa.field("_rules", RULES)))
    for source in sources:
        table = Writer(out / "table" / source.name)
        for records in parts.batches([source]):
            typed, reasons = clean_batch(records, columns)
            sound = np.ones(records.num_rows, bool)
            sound[list(reasons)] = False
            rules = pa.array([reasons[row] for row in sorted(reasons)], RULES)
            rejects.write(records.filter(pa.array(~sound)).append_column("_rules", rules))
            kept = typed.filter(pa.array(sound))
            if section.merge_duplicates:
                repeated = duplicates(kept, seen)
                counts.merged += int(repeated.sum())
                kept = kept.filter(pa.array(~repeated))
            table.write(kept)
            counts.records += records.num_rows
            counts.kept += kept.num_rows
            counts.rejected += int((~sound).sum())
            counts.rules.update(rule for broken in reasons.values() for rule in broken)
            counts.missing.update({name: kept.column(name).null_count for name in columns})
        table.close()
    rejects.close()
    with (folder / "malformed.parquet").open("rb") as file:
        malformed = pq.read_metadata(file).num_rows
    counts.records += malformed
    counts.rejected += malformed
    if malformed:
        counts.rules["malformed"] = malformed
    return counts.report(section, list(columns))


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("clean", "records", argv=argv) as job:
        section = job.contract.section("clean", Section)
        report = clean(job["records"], job.contract.columns, section, job.out)
        write_json(job.out / "report.json", report)
        worst = sorted(report["rules"].items(), key=lambda item: -item[1])[:3]
        because = ", ".join(f"{rule} {count:,}" for rule, count in worst)
        job.say(
            f"{report['records']:,} in → {report['kept']:,} kept, {report['rejected']:,} rejected, "
            f"{report['merged']:,} merged"
        )
        if because:
            job.say(f"most by {because}")


if __name__ == "__main__":
    main()
