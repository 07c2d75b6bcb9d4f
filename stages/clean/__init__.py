"""Records in; a typed table, and every record that is not in it with the rule it broke, out.

kept + rejected + merged = records in, checked at run time. Rejects never stop this stage:
`validate` holds their shares against `clean.max_rejected`, so the report is never lost. Parts are
cleaned one by one and kept in the store (`rows`); what holds between records follows (`whole`).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.clean import corrections, whole
from stages.clean.rows import WORD_TYPES, Part, Task, clean_part
from stages.clean.section import Section, check, contradiction_keys
from stages.clean.write import write_part, write_rejects
from stages.contract import Contract
from stages.core import cli, parts, store
from stages.core.files import read_json, write_json

__all__ = ["Section", "check", "clean", "main"]
SERVING = ("serving/prepare.py", "serving/values.py", "serving/picture.py")
CODE = ("clean", "columns", "duplicates", "core/parts.py", "contract/column.py", *SERVING)


def clean(folder: Path, contract: Contract, sources: Path, out: Path) -> dict[str, Any]:
    """Clean `parts/` to `table/` and `rejects.parquet`; returns the report."""
    section, task = contract.section("clean", Section), plan(contract)
    kept, pipeline = store.Store(), contract.pipeline
    fixes = corrections.load(sources / section.corrections, contract.columns) if section.corrections else None
    with (folder / "malformed.parquet").open("rb") as file:
        malformed = pq.ParquetFile(file).read()
    done = [clean_one(kept, path, contract, task, fixes, malformed) for path in parts.files(folder / "parts")]
    removed, found = whole.judge(
        [part.folder for part in done], section, contract.columns, contradiction_keys(contract)
    )
    tables = [write_part(kept, part, gone.kept, out, pipeline) for part, gone in zip(done, removed, strict=True)]
    write_rejects(done, removed, contract.columns, out / "rejects.parquet")
    kept.retain(f"clean/{pipeline}", [part.key for part in done])
    kept.retain(f"table/{pipeline}", [key for key, _ in tables])
    report = add_up(done, removed, [counts for _, counts in tables], malformed.num_rows)
    if fixes:
        used = sum(sum(read_json(part.folder / "corrections.json").values()) for part in done)
        report["corrections"] = {"given": fixes.table.num_rows, "used": used}
    return {**report, **found, "max_rejected": section.max_rejected}


def plan(contract: Contract) -> Task:
    """What the global passes of this contract need of every part."""
    section, columns = contract.section("clean", Section), contract.columns
    keys: dict[str, Sequence[str]] = {"rows": list(columns)}
    label = None
    if section.key:
        keys["key"] = section.key.columns
    if between := contradiction_keys(contract):
        keys["inputs"], label = between
        keys["label"] = [label]
    return Task(columns, keys, [item.column for item in section.near], label)


def clean_one(
    kept: store.Store,
    source: Path,
    contract: Contract,
    task: Task,
    fixes: corrections.Corrections | None,
    malformed: pa.Table,
) -> Part:
    """One part, cleaned now or taken from the store."""
    own = fixes.of(files_of(source)) if fixes else None
    declared = {name: column.model_dump(mode="json") for name, column in task.columns.items()}
    settings = [declared, dict(task.keys), list(task.near), task.label]
    key = store.key(
        store.file_hashes([source]), settings, own.table.to_pylist() if own else None, code=CODE, libraries=store.DATA
    )
    kind = f"clean/{contract.pipeline}"

    def records(words: Sequence[str] = (), used: list[tuple[int, int]] | None = None) -> Iterator[pa.Table]:
        batches = parts.batches([source], words=words)
        return corrections.correct(batches, own, malformed, used) if own and own.table.num_rows else batches

    if not kept.has(kind, key):
        words = [name for name, column in task.columns.items() if column.type in WORD_TYPES] + ["_file"]
        used: list[tuple[int, int]] = []
        with kept.put(kind, key) as folder:
            clean_part(records(words, used), task, folder)
            changed, added = used[0] if used else (0, 0)
            write_json(folder / "corrections.json", {"changed": changed, "added": added})
    return Part(source, key, kept.path(kind, key), records)


def files_of(source: Path) -> list[str]:
    """The raw files whose records a part holds."""
    found: set[str] = set()
    for batch in parts.batches([source], columns=["_file"], words=["_file"]):
        found.update(batch.column("_file").unique().to_pylist())
    return sorted(found)


def add_up(
    done: Sequence[Part], removed: Sequence[whole.Removed], tables: Sequence[dict[str, Any]], malformed: int
) -> dict[str, Any]:
    """What became of every record. Fails where one was lost or counted twice."""
    rules, clipped, missing, fixed = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    records = kept = merged = between = 0
    for part, gone, table in zip(done, removed, tables, strict=True):
        counts = read_json(part.folder / "counts.json")
        fixed.update(read_json(part.folder / "corrections.json"))
        records += counts["records"]
        rules.update(counts["rules"])
        clipped.update(counts["clipped"])
        missing.update(table["missing"])
        kept += table["kept"]
        merged += int(gone.merged.sum())
        between += int((~gone.kept & ~gone.merged).sum())
        rules.update({rule: int((mask & ~gone.merged).sum()) for rule, mask in gone.rejected.items()})
    unread = malformed - fixed["added"]
    rejected = sum(len_rejects(part) for part in done) + between + unread
    records += unread
    if unread:
        rules["malformed"] = unread
    assert kept + rejected + merged == records, "a record was lost or counted twice"
    return {
        "records": records,
        "kept": kept,
        "rejected": rejected,
        "merged": merged,
        "rules": {rule: count for rule, count in sorted(rules.items()) if count},
        "missing": dict(missing),
        "clipped": dict(sorted(clipped.items())),
    }


def len_rejects(part: Part) -> int:
    with (part.folder / "rejects.parquet").open("rb") as file:
        return int(pq.read_metadata(file).num_rows)


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("clean", "records", "sources", argv=argv) as job:
        check(job.contract)
        report = clean(job["records"], job.contract, job["sources"], job.out)
        write_json(job.out / "report.json", report)
        job.say(
            f"{report['records']:,} in → {report['kept']:,} kept, {report['rejected']:,} rejected, "
            f"{report['merged']:,} merged"
        )
        for line in told(report):
            job.say(line)


def told(report: dict[str, Any]) -> Iterator[str]:
    """What a reader of the log should know besides the counts."""
    worst = sorted(report["rules"].items(), key=lambda item: -item[1])[:3]
    if worst:
        yield "most by " + ", ".join(f"{rule} {count:,}" for rule, count in worst)
    found = report["duplicates"]
    if found["rows"] and found["then"] == "keep":
        yield f"{found['rows']:,} exact duplicates kept"
    for name, between in (("contradictions", report.get("contradictions")), *report.get("near_duplicates", {}).items()):
        if between and between["rows"]:
            word = "contradict each other" if name == "contradictions" else f"are near duplicates by {name}"
            yield f"{between['rows']:,} rows {word}"
    if fixes := report.get("corrections"):
        yield f"{fixes['used']:,} of {fixes['given']:,} corrections used"
