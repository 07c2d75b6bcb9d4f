"""Raw files in, Arrow records out: untyped values as the source has them, none lost.

Each format is one module of this folder with `Options`, `units` and `read`; one that must look at all
files first, or reads what is no file, also has `about`. Writes `parts/` (the
declared columns, with `_file` and `_record` saying where each came from), `malformed.parquet`
(what could not be read as a record, and why) and `report.json`. Parts that have not changed come
from the store.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.contract import Contract
from stages.contract.loader import choose, seam
from stages.contract.section import parse
from stages.core import cli, store
from stages.core.errors import ContractError, DataError, suggest
from stages.core.files import read_json, write_json
from stages.core.parts import Writer, link
from stages.ingest._parts import file_name, partition
from stages.ingest._reports import fit, require_types, summary, with_types

FILE, RECORD = "_file", "_record"
MALFORMED = pa.schema(
    [
        (FILE, pa.string()),
        (RECORD, pa.int64()),
        ("_line", pa.int64()),  # in the file, from 1; null where the file has no lines
        ("text", pa.string()),
        ("reason", pa.string()),
    ]
)
LIBRARIES = (
    *store.DATA,
    "adbc-driver-postgresql",
    "adbc-driver-sqlite",
    "charset-normalizer",
    "python-calamine",
    "sqlalchemy",
    "zstandard",
)
CODE = ("ingest", "core/parts.py", "serving/mail.py")


@dataclass(frozen=True)
class About:
    """What a format's `about(raw, options)` says of all raw files together, before any part is read.

    `key` goes into the key of every part, `part_key(names)` into that of the part of these files, and `state` to `read` as `raw.state`. `live` says why the source is no
    file and cannot be told from its hash: then no part is taken from the store. `remarks` go into the report.
    """

    key: Any = None
    part_key: Callable[[Sequence[str]], Any] = lambda names: None
    state: Any = None
    live: str = ""
    remarks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """`folder` holds the raw files, `sources` is the user's `sources/<pipeline>`.

    `columns` are those that are declared: a format may leave the others unread, and then names them in
    `Batch.left_out`. Without any, it reads all. Where some are `personal`, no error quotes a value of theirs.
    """

    folder: Path
    sources: Path
    columns: tuple[str, ...] = ()
    state: Any = None
    personal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Some records of one file; `malformed` rows follow the schema MALFORMED, `detected` is for the report.

    A format that makes nulls of a declared column which a file lacks says so in `lacks`, once for each
    file with records: {file: columns}. `skipped` counts what by the format's own rules is no record.
    """

    records: pa.Table
    malformed: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[str] = ()
    detected: Mapping[str, Any] = field(default_factory=dict)
    lacks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)


def options(contract: Contract) -> tuple[ModuleType, Any]:
    """The format's module and its typed options, from `<pipeline>.ingest`."""
    raw = contract.get("ingest")
    path = f"{contract.pipeline}.ingest"
    if not isinstance(raw, Mapping) or "format" not in raw:
        raise ContractError(f"{path}.format is missing; expected one of {', '.join(seam('ingest'))}")
    module = choose("ingest", raw["format"], f"{path}.format")
    return module, parse(module.Options, raw, path)


def check(contract: Contract) -> None:
    """Raise ContractError for what is wrong in `<pipeline>.ingest`."""
    options(contract)


def number_records(records: pa.Table, file: str, places: np.ndarray) -> pa.Table:
    """Add where each record came from: its file, and its place in it counted from 1."""
    return records.append_column(FILE, pa.repeat(pa.scalar(file, pa.string()), records.num_rows)).append_column(
        RECORD, pa.array(places, pa.int64())
    )


def malformed_row(file: str, place: int, text: str, reason: str, *, line: int | None = None) -> dict[str, Any]:
    """One row of MALFORMED: what could not be read, where, and why."""
    return {FILE: file, RECORD: place, "_line": line, "text": text, "reason": reason}


def absent(file: str, name: str, found: Sequence[str], declared: str = "the contract") -> DataError:
    return DataError(
        f"{file} has no column {name!r}, which {declared} declares.{suggest(name, found)} Found: "
        f"{', '.join(found[:30])}. Mend the name in params.yaml."
    )


def select(records: pa.Table, columns: Mapping[str, Any], pipeline: str) -> pa.Table:
    """The declared columns and the record's place. Raises DataError naming a column that is absent."""
    found = [name for name in records.column_names if name not in (FILE, RECORD)]
    for name in columns:
        if name not in found:
            raise absent(str(records[FILE][0]), name, found, f"{pipeline}.columns")
    return records.select([*columns, FILE, RECORD])


def read_part(batches: Iterator[Batch], contract: Contract, out: Path) -> None:
    """Stream one part's batches to `records.parquet`, `malformed.parquet` and `report.json`."""
    counts, skipped = Counter(records=0, malformed=0), Counter[str]()
    left_out: set[str] = set()
    detected: dict[str, Any] = {}
    lacks: dict[str, Sequence[str]] = {}
    schema: pa.Schema | None = None
    with Writer(out / "records.parquet") as writer, Writer(out / "malformed.parquet", MALFORMED) as malformed:
        for batch in batches:
            if batch.malformed:
                malformed.write(pa.Table.from_pylist(list(batch.malformed), MALFORMED))
            counts.update(records=batch.records.num_rows, malformed=len(batch.malformed))
            skipped.update(batch.skipped)
            detected |= batch.detected
            lacks |= batch.lacks
            left_out |= {*batch.left_out}
            if not batch.records.num_rows:
                continue
            left_out |= set(batch.records.column_names) - {*contract.columns, FILE, RECORD}
            records = select(batch.records, contract.columns, contract.pipeline)
            schema = schema or with_types(records.schema)
            writer.write(fit(records, schema, personal(contract)))
    types = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)} if schema else {}
    report = {**counts, "skipped": skipped, "columns_left_out": sorted(left_out), "lacks": lacks}
    write_json(out / "report.json", report | {"detected": detected, "types": types})


def personal(contract: Contract) -> tuple[str, ...]:
    return tuple(name for name, column in contract.columns.items() if column.personal)


def ingest(raw: Raw, module: ModuleType, settings: Any, contract: Contract, out: Path) -> dict[str, Any]:
    """Every part of the raw files, read anew or taken from the store; returns the counts."""
    kept, kind, keys, reports = store.Store(), f"records/{contract.pipeline}", [], []
    (out / "parts").mkdir()
    raw = replace(raw, columns=tuple(contract.columns), personal=personal(contract))
    groups = partition(raw.folder, module.units(raw, settings))
    about = module.about(raw, settings) if hasattr(module, "about") else About()
    raw, own = replace(raw, state=about.state), own_files(raw.sources, contract)
    with Writer(out / "malformed.parquet", MALFORMED) as malformed:
        for place, names in enumerate(groups):
            keys.append(part_key(raw, names, settings, [own, about.key, about.part_key(names)]))
            if about.live:
                kept.drop(kind, keys[-1])
            if not kept.has(kind, keys[-1]):
                with kept.put(kind, keys[-1]) as folder:
                    read_part(module.read(raw, names, settings), contract, folder)
            folder = kept.path(kind, keys[-1])
            reports.append(read_json(folder / "report.json"))
            require_types(reports[-1], next((report for report in reports if report["types"]), reports[-1]), names[0])
            if reports[-1]["records"]:
                link(folder / "records.parquet", out / "parts" / file_name(place, names))
            with (folder / "malformed.parquet").open("rb") as file:
                malformed.write(pq.ParquetFile(file).read())
            cli.progress(f"ingest: {place + 1:,} of {len(groups):,} parts", last=place + 1 == len(groups) > 1)
    kept.retain(kind, [] if about.live else keys)
    require_columns(reports, contract)
    report = {"files": sum(map(len, groups)), "parts": len(groups), **summary(reports), **about.remarks}
    if about.live:
        report["not_reproducible"] = about.live
    if not report["records"]:
        raise DataError(nothing_read(report["malformed"], out / "malformed.parquet", contract.pipeline))
    return report


def require_columns(reports: Sequence[Mapping[str, Any]], contract: Contract) -> None:
    """Raise DataError where all files that have records lack a declared column."""
    lacks = {file: columns for report in reports for file, columns in report["lacks"].items()}
    for name in contract.columns:
        if lacks and all(name in columns for columns in lacks.values()):
            missing = {column for columns in lacks.values() for column in columns}
            found = {column for report in reports for column in report["columns_left_out"]}
            raise absent(next(iter(lacks)), name, sorted({*contract.columns} - missing | found))


def own_files(sources: Path, contract: Contract) -> list[tuple[str, str]]:
    """The user's own files that records may follow from, and their hashes: a script may read any that stands there."""
    if contract.raw["ingest"]["format"] != "script":
        found = [path for path in sources.glob("*") if path.suffix == ".py" or path.name == "query.sql"]
    else:  # `raw`, not `get`: what corrects records is no parameter of theirs
        later = {"lock.json", "reference.json", (contract.raw.get("clean") or {}).get("corrections")}
        found = [path for path in sources.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        found = [path for path in found if path.relative_to(sources).as_posix() not in later]
    names = sorted(path.relative_to(sources).as_posix() for path in found)
    return list(zip(names, store.file_hashes(sources / name for name in names), strict=True))


def part_key(raw: Raw, names: Sequence[str], settings: Any, known: Any) -> str:
    """What a part's records follow from: its files, the options, the columns, what else is known, and our code."""
    hashes = store.file_hashes(raw.folder / name for name in names if (raw.folder / name).exists())
    columns = [[*raw.columns], [*raw.personal]]
    return store.key(names, hashes, settings.model_dump(mode="json"), columns, known, code=CODE, libraries=LIBRARIES)


def nothing_read(num_malformed: int, path: Path, pipeline: str) -> str:
    with path.open("rb") as file:
        first = pq.ParquetFile(file).read().slice(0, 1).to_pylist()
    because = f", the first because {first[0]['reason']}" if first else ""
    return (
        f"no record could be read; {num_malformed:,} were malformed{because}. Check "
        f"{pipeline}.ingest against the raw files."
    )


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("ingest", "raw", "sources", argv=argv) as job:
        module, settings = options(job.contract)
        report = ingest(Raw(job["raw"], job["sources"]), module, settings, job.contract, job.out)
        write_json(job.out / "report.json", report)
        extra = report["columns_left_out"]
        job.say(f"{report['files']:,} files → {report['records']:,} records, {report['malformed']:,} malformed")
        if "not_reproducible" in report:
            job.say("a live source: not reproducible by its hash")
        if lacks := report.get("columns_absent"):
            file, columns = next(iter(lacks.items()))
            job.say(f"{len(lacks):,} files lack declared columns, null there (first {file}: {', '.join(columns[:5])})")
        if skipped := report.get("skipped"):
            job.say("no records: " + ", ".join(f"{count:,} {what}" for what, count in skipped.items()))
        if extra:
            job.say(f"{len(extra)} undeclared columns left out ({', '.join(extra[:5])})")
