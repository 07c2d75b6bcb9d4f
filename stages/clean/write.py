"""Cleaned parts and what goes from them in; the files of `table/` and `rejects.parquet` out."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.clean import typed
from stages.clean.rows import THREADS, Part, mark, name_rules
from stages.clean.whole import Removed
from stages.core import parts, store
from stages.core.files import read_json, write_json


def write_part(
    kept: store.Store, part: Part, sound: np.ndarray, out: Path, pipeline: str
) -> tuple[str, dict[str, Any]]:
    """The part's rows that stay as files of `table/`; their key in the store, and their counts."""
    gone = np.flatnonzero(~sound)
    went = hashlib.sha256(gone.tobytes()).hexdigest()
    key, kind = store.key(part.key, went, code=("core/parts.py",), libraries=store.DATA), f"table/{pipeline}"
    if not kept.has(kind, key):
        sources, sizes = typed.files(part.folder), read_json(part.folder / "counts.json")["files"]
        with kept.put(kind, key) as folder, ThreadPoolExecutor(THREADS) as pool:
            jobs = [
                pool.submit(write_file, source, sound[sum(sizes[:place]) :], folder / f"{place:04d}.parquet")
                for place, source in enumerate(sources)
            ]
            missing = Counter[str]()
            for job in jobs:
                missing.update(job.result())
            write_json(folder / "counts.json", {"kept": int(sound.sum()), "missing": dict(missing)})
    for path in parts.files(kept.path(kind, key)):
        parts.link(path, out / "table" / f"{part.source.stem}.{path.name}")
    return key, read_json(kept.path(kind, key) / "counts.json")


def write_file(source: Path, sound: np.ndarray, path: Path) -> dict[str, int]:
    """One typed stream without the rows that went, as one file; `sound` begins with its rows.

    Returns how many values are missing in each column.
    """
    schema, row = typed.schema(source), 0
    missing = Counter[str](dict.fromkeys(schema.names, 0))
    with parts.Writer(path, schema, arrow_types=False) as writer:
        for batch in typed.read(source):
            stays = sound[row : row + batch.num_rows]
            row += batch.num_rows
            batch = batch if stays.all() else batch.filter(pa.array(stays))
            writer.write(batch)
            missing.update({name: batch.column(name).null_count for name in batch.column_names})
    return dict(missing)


def write_rejects(done: Sequence[Part], removed: Sequence[Removed], columns: Mapping[str, Any], path: Path) -> None:
    """Every reject of every part: first those of its rows, then those of the rules between records."""
    schemas = []
    for part in done:
        with (part.folder / "rejects.parquet").open("rb") as file:
            schemas.append(pq.read_schema(file))
    schema = common(schemas)
    with parts.Writer(path, schema) as writer:
        for part, gone in zip(done, removed, strict=True):
            for batch in parts.batches([part.folder / "rejects.parquet"]):
                writer.write(conform(batch, schema))
            if gone.rejected:
                for batch in between_records(part, gone, columns):
                    writer.write(conform(batch, schema))


def between_records(part: Part, gone: Removed, columns: Mapping[str, Any]) -> Iterator[pa.Table]:
    """The raw records that a rule between records rejected."""
    rows = np.flatnonzero(np.logical_or.reduce(list(gone.rejected.values())) & ~gone.merged)
    counts = read_json(part.folder / "counts.json")
    places = np.delete(np.arange(counts["records"]), np.load(part.folder / "rejected.npy"))[rows]
    start = 0
    for batch in part.records():
        here = (places >= start) & (places < start + batch.num_rows)
        yield mark(batch.take(pa.array(places[here] - start)), name_rules(gone.rejected, rows[here]), columns)
        start += batch.num_rows


def common(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema for the rejects of all parts: text where a column's type differs between them."""
    fields = []
    for field in schemas[0]:
        types = {schema.field(field.name).type for schema in schemas}
        fields.append(field if len(types) == 1 else pa.field(field.name, pa.string()))
    return pa.schema(fields)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return pa.table({field.name: table.column(field.name).cast(field.type) for field in schema}, schema=schema)
