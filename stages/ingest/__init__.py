"""Raw files in, Arrow records out: untyped values as the source has them, none lost.

Each format is one module of this folder with `Options`, `units` and `read`; one that must look at all
files first, or reads what is no file, also has `about`. Writes `parts/` (the
declared columns, with `_file` and `_record` saying where each came from), `malformed.parquet`
(what could not be read as a record, and why) and `report.json`. Parts that have not changed come
from the store.
"""

from collections.abc import Iterator, Mapping, Sequence
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
from stages.core.files import hash_json, read_json, write_json
from stages.core.parts import Writer, link
from stages.ingest._parts import file_name, partition

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
CODE = ("ingest", "serving/mail.py")


@dataclass(frozen=True)
class About:
    """What a format's `about(raw, options)` says of all raw files together, before any part is read.

    `key` goes into the key of every part, and `state` to `read` as `raw.state`. `live` says why the source is no
    file and cannot be told from its hash: then no part is taken from the store. `remarks` go into the report.
    """

    key: Any = None
    state: Any = None
    live: str = ""
    remarks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """`folder` holds the raw files, `sources` is the user's `sources/<pipeline>`.

    `columns` are those that are declared: a format may leave the others unread, and then names them in
    `Batch.left_out`. Without any, it reads all.
    """

    folder: Path
    sources: Path
    columns: tuple[str, ...] = ()
    state: Any = None


@dataclass(frozen=True)
class Batch:
    """Some records of one file; `malformed` rows follow the schema MALFORMED, `detected` is for the report."""

    records: pa.Table
    malformed: Sequence[Mapping[str, Any]] = ()
    left_out: Sequence[str] = ()
    detected: Mapping[str, Any] = field(default_factory=dict)


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
    counts = {"records": 0, "malformed": 0}
    left_out: set[str] = set()
    detected: dict[str, Any] = {}
    schema: pa.Schema | None = None
    with Writer(out / "records.parquet") as writer, Writer(out / "malformed.parquet", MALFORMED) as malformed:
        for batch in batches:
            if batch.malformed:
                malformed.write(pa.Table.from_pylist(list(batch.malformed), MALFORMED))
            counts["malformed"] += len(batch.malformed)
            detected |= batch.detected
            left_out |= {*batch.left_out}
            if not batch.records.num_rows:
                continue
            left_out |= set(batch.records.column_names) - {*contract.columns, FILE, RECORD}
            records = select(batch.records, contract.columns, contract.pipeline)
            schema = schema or with_types(records.schema)
            writer.write(fit(records, schema))
            counts["records"] += records.num_rows
    types = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)} if schema else {}
    report = {**counts, "columns_left_out": sorted(left_out), "detected": detected, "types": types}
    write_json(out / "report.json", report)


def with_types(schema: pa.Schema) -> pa.Schema:
    """Without metadata; a column that holds nothing yet is one of text."""
    return pa.schema([(item.name, pa.string() if pa.types.is_null(item.type) else item.type) for item in schema])


def fit(records: pa.Table, schema: pa.Schema) -> pa.Table:
    """The records in the types of those before them. Raises DataError where that would change a value."""
    if records.schema.equals(schema):
        return records
    try:
        return records.cast(schema)
    except pa.ArrowException as error:
        changed = [
            f"{item.name} is {records.schema.field(item.name).type}, {item.type} before"
            for item in schema
            if records.schema.field(item.name).type != item.type
        ]
        raise DataError(
            f"{records[FILE][0]}: {'; '.join(changed)}: {error}. Make the types agree in the source, or write text "
            "there."
        ) from None


def ingest(raw: Raw, module: ModuleType, settings: Any, contract: Contract, out: Path) -> dict[str, Any]:
    """Every part of the raw files, read anew or taken from the store; returns the counts."""
    kept, kind, keys, reports = store.Store(), f"records/{contract.pipeline}", [], []
    (out / "parts").mkdir()
    raw = replace(raw, columns=tuple(contract.columns))
    groups = partition(raw.folder, module.units(raw, settings))
    about = module.about(raw, settings) if hasattr(module, "about") else About()
    raw = replace(raw, state=about.state)
    with Writer(out / "malformed.parquet", MALFORMED) as malformed:
        for place, names in enumerate(groups):
            keys.append(part_key(raw, names, settings, about.key))
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
    report = {"files": sum(map(len, groups)), "parts": len(groups), **summary(reports), **about.remarks}
    if about.live:
        report["not_reproducible"] = about.live
    if not report["records"]:
        raise DataError(nothing_read(report["malformed"], out / "malformed.parquet", contract.pipeline))
    return report


def require_types(report: Mapping[str, Any], first: Mapping[str, Any], name: str) -> None:
    """Raise DataError where a part has other types than the first one: they are one table."""
    changed = [f"{c} is {t}, {first['types'][c]} in the first file" for c, t in report["types"].items()
               if t != first["types"][c]]  # fmt: skip
    if changed:
        raise DataError(f"{name}: {'; '.join(changed)}. Make the types of the files agree.")


def summary(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of all parts together; what was detected alike in many files stands there once."""
    total: dict[str, Any] = {name: sum(report[name] for report in reports) for name in ("records", "malformed")}
    total["columns_left_out"] = sorted({name for report in reports for name in report["columns_left_out"]})
    alike: dict[str, dict[str, Any]] = {}
    for name, found in sorted(item for report in reports for item in report["detected"].items()):
        alike.setdefault(hash_json(found), {**found, "first_file": name, "files": 0})["files"] += 1
    return total | ({"detected": list(alike.values())} if alike else {})


def part_key(raw: Raw, names: Sequence[str], settings: Any, known: Any) -> str:
    """What a part's records follow from: its files, the options, the user's own code, and ours."""
    own = [path for path in raw.sources.glob("*") if path.suffix == ".py" or path.name == "query.sql"]
    files = [raw.folder / name for name in names if (raw.folder / name).exists()]
    hashes = store.file_hashes([*files, *sorted(own)])
    return store.key(
        names, hashes, settings.model_dump(mode="json"), [*raw.columns], known, code=CODE, libraries=LIBRARIES
    )


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
        if extra:
            job.say(f"{len(extra)} undeclared columns left out ({', '.join(extra[:5])})")
