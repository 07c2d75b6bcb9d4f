"""Raw rows as parts of records in, what `clean` makes of them out."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.clean import clean
from stages.contract import Contract
from stages.core import parts
from stages.ingest import MALFORMED

Result = tuple[dict[str, Any], pa.Table, pa.Table]


def run(
    folder: Path,
    columns: dict[str, Any],
    raw: list[tuple],
    *,
    target: str | None = None,
    malformed: list[int] | None = None,
    broken: list[dict[str, Any]] | None = None,
    schema: pa.Schema | None = None,
    split: int | None = None,
    **section: Any,
) -> Result:
    """The report, the table and the rejects of records 1, 2, … of raw.csv; `split` begins a second part there.

    `malformed` lists the records that could not be read. The store is a folder beside.
    """
    for name in ("parts", "out"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "parts").mkdir(parents=True)
    os.environ["INGOT_STORE"] = str(folder / "store")
    names = [*columns, "_file", "_record"]
    types = (
        list(schema.types)
        if schema
        else [pa.binary() if columns[name]["type"] == "image" else pa.string() for name in columns]
    )
    schema = pa.schema(list(zip(names, [*types, pa.string(), pa.int64()], strict=True)))
    rows = [dict(zip(names, (*row, "raw.csv", i), strict=True)) for i, row in enumerate(raw, 1)]
    for place, part in enumerate([rows] if split is None else [rows[:split], rows[split:]]):
        pq.write_table(pa.Table.from_pylist(part, schema), folder / "parts" / f"{place:05d}-raw.csv.parquet")
    broken = broken or [{"_file": "raw.csv", "_record": i, "text": "x", "reason": "ragged"} for i in malformed or []]
    pq.write_table(pa.Table.from_pylist(broken, MALFORMED), folder / "malformed.parquet")
    (folder / "out" / "table").mkdir(parents=True)
    examples = {"target": {"column": target or next(iter(columns))}}
    contract = Contract("shop", {"columns": columns, "clean": section, "examples": examples})
    report = clean(folder, contract, folder, folder / "out")
    return report, parts.read(folder / "out" / "table"), pq.read_table(folder / "out" / "rejects.parquet")
