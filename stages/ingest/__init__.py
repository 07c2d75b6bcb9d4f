"""Raw files in, Arrow records out: untyped values as the source has them, none lost.

Each format is one module of this folder with `Options`, `units` and `read`. Writes `parts/` (the
declared columns, with `_file` and `_record` saying where each came from), `malformed.parquet`
(what could not be read as a record, and why) and `report.json`. Parts that have not changed come
from the store.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from stages.core.parts import COMPRESSION, Writer, link
from stages.ingest._parts import file_name, partition

FILE, RECORD = "_file", "_record"
MALFORMED = pa.schema([(FILE, pa.string()), (RECORD, pa.int64()), ("text", pa.string()), ("reason", pa.string())])
CODE = ("ingest", "serving/mail.py")


@dataclass(frozen=True)
class Raw:
    """`folder` holds the raw files, `sources` is the user's `sources/<pipeline>`."""

    folder: Path
    sources: Path


@dataclass(frozen=True)
class Batch:
    """Some records of one file; `malformed` rows follow the schema MALFORMED."""

    records: pa.Table
    malformed: Sequence[Mapping[str, Any]] = ()


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
    return records.append_column(FILE, pa.array([file] * records.num_rows, pa.string())).append_column(
        RECORD, pa.array(places, pa.int64())
    )


def select(records: pa.Table, columns: Mapping[str, Any], pipeline: str) -> pa.Table:
    """The declared columns and the record's place. Raises DataError naming a column that is absent."""
    found = [name for name in records.column_names if name not in (FILE, RECORD)]
    for name in columns:
        if name not in found:
            listing = ", ".join(found[:30])
            raise DataError(
                f"{records[FILE][0]} has no column {name!r}, which {pipeline}.columns declares."
                f"{suggest(name, found)} Found: {listing}. Mend the name in params.yaml."
            )
    return records.select([*columns, FILE, RECORD])


def read_part(batches: Iterator[Batch], contract: Contract, out: Path) -> None:
    """Stream one part's batches to `records.parquet`, `malformed.parquet` and `report.json`."""
    malformed: list[Mapping[str, Any]] = []
    num_records, left_out = 0, set()
    with Writer(out / "records.parquet") as writer:
        for batch in batches:
            malformed += batch.malformed
            if not batch.records.num_rows:
                continue
            left_out |= set(batch.records.column_names) - {*contract.columns, FILE, RECORD}
            writer.write(select(batch.records, contract.columns, contract.pipeline))
            num_records += batch.records.num_rows
    pq.write_table(pa.Table.from_pylist(malformed, MALFORMED), out / "malformed.parquet", **COMPRESSION)
    counts = {"records": num_records, "malformed": len(malformed), "columns_left_out": sorted(left_out)}
    write_json(out / "report.json", counts)


def ingest(raw: Raw, module: ModuleType, settings: Any, contract: Contract, out: Path) -> dict[str, Any]:
    """Every part of the raw files, read anew or taken from the store; returns the counts."""
    kept, kind, keys, reports = store.Store(), f"records/{contract.pipeline}", [], []
    (out / "parts").mkdir()
    groups = partition(raw.folder, module.units(raw, settings))
    with Writer(out / "malformed.parquet", MALFORMED) as malformed:
        for place, names in enumerate(groups):
            keys.append(part_key(raw, names, settings, contract))
            if not kept.has(kind, keys[-1]):
                with kept.put(kind, keys[-1]) as folder:
                    read_part(module.read(raw, names, settings), contract, folder)
            folder = kept.path(kind, keys[-1])
            reports.append(read_json(folder / "report.json"))
            if reports[-1]["records"]:
                link(folder / "records.parquet", out / "parts" / file_name(place, names))
            with (folder / "malformed.parquet").open("rb") as file:
                malformed.write(pq.ParquetFile(file).read())
            cli.progress(f"ingest: {place + 1:,} of {len(groups):,} parts", last=place + 1 == len(groups) > 1)
    kept.retain(kind, keys)
    total = {name: sum(report[name] for report in reports) for name in ("records", "malformed")}
    if not total["records"]:
        raise DataError(nothing_read(total["malformed"], out / "malformed.parquet", contract.pipeline))
    left_out = sorted({name for report in reports for name in report["columns_left_out"]})
    return {"files": sum(map(len, groups)), "parts": len(groups), **total, "columns_left_out": left_out}


def part_key(raw: Raw, names: Sequence[str], settings: Any, contract: Contract) -> str:
    """What a part's records follow from: its files, the options, the user's own code, and ours."""
    own = sorted(path for path in raw.sources.glob("*") if path.suffix in (".py", ".sql"))
    files = [raw.folder / name for name in names if (raw.folder / name).exists()]
    hashes = store.file_hashes([*files, *own])
    return store.key(
        names, hashes, settings.model_dump(mode="json"), [*contract.columns], code=CODE, libraries=store.DATA
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
        if extra:
            job.say(f"{len(extra)} undeclared columns left out ({', '.join(extra[:5])})")
