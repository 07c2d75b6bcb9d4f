"""Records in; a typed table, and every record that is not in it with the rule it broke, out.

kept + rejected + merged = records in, checked at run time. Rejects never stop this stage:
`validate` holds their shares against `clean.max_rejected`, so the report is never lost. Parts are
cleaned one by one and kept in the store (`rows`); what holds between records follows (`whole`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
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
SERVING = tuple(f"serving/{name}.py" for name in ("prepare", "values", "picture", "sound", "wav"))
CORRECTED = Path("corrected.parquet")  # sorts behind the numbered parts
LIBRARIES = (*store.DATA, "scipy")
CODE = ("clean", "columns", "duplicates", "core/parts.py", "contract/column.py", *SERVING)


Records = Callable[..., Iterator[pa.Table]]


def clean(folder: Path, contract: Contract, sources: Path, out: Path) -> dict[str, Any]:
    """Clean `parts/` to `table/` and `rejects.parquet`; returns the report."""
    section, task = contract.section("clean", Section), plan(contract)
    kept, pipeline = store.Store(), contract.pipeline
    fixes = corrections.load(sources / section.corrections, contract.columns) if section.corrections else None
    with (folder / "malformed.parquet").open("rb") as file:
        malformed = pq.ParquetFile(file).read()
    done = [clean_one(kept, part, contract, task) for part in sources_of(folder / "parts", fixes, malformed, task)]
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
        if used < fixes.table.num_rows:  # such as a misspelt file, or one that is no longer there
            report["corrections"]["unused"] = corrections.unused(fixes, folder / "parts", malformed)
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


@dataclass(frozen=True)
class Source:
    """Records to be cleaned as one part: what they are called, what they follow from, how they are read.

    `changed` and `added` count the corrections in it.
    """

    path: Path
    key: Any
    records: Records
    changed: int = 0
    added: int = 0


def sources_of(
    folder: Path, fixes: corrections.Corrections | None, malformed: pa.Table, task: Task
) -> Iterator[Source]:
    """The parts of the records; and last, as a part of their own, those that only a correction made readable."""
    for path in parts.files(folder):
        own = fixes.of(files_of(path)) if fixes else None
        if own is None or not own.table.num_rows:
            yield Source(path, store.file_hashes([path]), partial(read, path))
            continue
        own = own.of_records(parts.batches([path], columns=[*corrections.PLACE]))
        key = [store.file_hashes([path]), own.table.to_pylist()]
        yield Source(path, key, partial(read, path, own), changed=own.table.num_rows)
    mended = fixes.of_malformed(malformed, list(task.columns)) if fixes else None
    if mended is not None and mended.num_rows:
        yield Source(CORRECTED, mended.to_pylist(), lambda words=(): iter([mended]), added=mended.num_rows)


def read(path: Path, own: corrections.Corrections | None = None, words: Sequence[str] = ()) -> Iterator[pa.Table]:
    """One part's records in batches, corrected."""
    batches = parts.batches([path], words=words)
    return corrections.correct(batches, own) if own else batches


def clean_one(kept: store.Store, source: Source, contract: Contract, task: Task) -> Part:
    """One part, cleaned now or taken from the store."""
    declared = {name: column.model_dump(mode="json") for name, column in task.columns.items()}
    settings = [declared, dict(task.keys), list(task.near), task.label]
    key = store.key(source.key, settings, code=CODE, libraries=LIBRARIES)
    kind = f"clean/{contract.pipeline}"
    if not kept.has(kind, key):
        words = [name for name, column in task.columns.items() if column.type in WORD_TYPES] + ["_file"]
        with kept.put(kind, key) as folder:
            clean_part(source.records(words=words), task, folder)
            write_json(folder / "corrections.json", {"changed": source.changed, "added": source.added})
    return Part(source.path, key, kept.path(kind, key), source.records)


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
    assert unread >= 0, "more was corrected than was malformed"
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
        named = "".join(f"; no record {item}" for item in fixes.get("unused", [])[:3])
        yield f"{fixes['used']:,} of {fixes['given']:,} corrections used{named}"
