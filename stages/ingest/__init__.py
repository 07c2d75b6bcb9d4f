"""Raw files in, Arrow records out: untyped values as the source has them, none lost.

Each format is one module of this folder with `Options` and `read`. Writes `records.parquet` (the
declared columns, with `_file` and `_record` saying where each came from), `malformed.parquet`
(what could not be read as a record, and why) and `report.json`.
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
from stages.core import cli
from stages.core.errors import ContractError, DataError, suggest
from stages.core.files import write_json

FILE, RECORD = "_file", "_record"
MALFORMED = pa.schema([(FILE, pa.string()), (RECORD, pa.int64()), ("text", pa.string()), ("reason", pa.string())])


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


def ingest(batches: Iterator[Batch], contract: Contract, out: Path) -> dict[str, Any]:
    """Stream the batches to Parquet; returns the counts."""
    writer = None
    malformed: list[Mapping[str, Any]] = []
    num_records, files, left_out = 0, set(), set()
    for batch in batches:
        malformed += batch.malformed
        if not batch.records.num_rows:
            continue
        left_out |= set(batch.records.column_names) - {*contract.columns, FILE, RECORD}
        records = select(batch.records, contract.columns, contract.pipeline)
        files.update(records[FILE].unique().to_pylist())
        writer = writer or pq.ParquetWriter(
            out / "records.parquet", records.schema, compression="zstd", compression_level=1
        )
        writer.write_table(records)
        num_records += records.num_rows
    if writer is None:
        raise DataError(
            f"no record could be read; {len(malformed)} were malformed. Check {contract.pipeline}.ingest against the "
            "raw files."
        )
    writer.close()
    pq.write_table(pa.Table.from_pylist(malformed, MALFORMED), out / "malformed.parquet")
    return {
        "files": len(files),
        "records": num_records,
        "malformed": len(malformed),
        "columns_left_out": sorted(left_out),
    }


def main(argv: Sequence[str] | None = None) -> None:
    with cli.job("ingest", "raw", argv=argv) as job:
        module, settings = options(job.contract)
        report = ingest(module.read(job["raw"], settings), job.contract, job.out)
        write_json(job.out / "report.json", report)
        extra = report["columns_left_out"]
        job.say(f"{report['files']:,} files → {report['records']:,} records, {report['malformed']:,} malformed")
        if extra:
            job.say(f"{len(extra)} undeclared columns left out ({', '.join(extra[:5])})")
