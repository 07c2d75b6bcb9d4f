"""Rejects that somebody corrected in; the records with their corrected values out.

`sources/<p>/<corrections>` is made from rejects.parquet: `_file` and `_record` name the record, the
other columns give its values. A record that could not be read at all is corrected in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.core import parts
from stages.core.errors import DataError, suggest

FILE, RECORD = PLACE = ["_file", "_record"]
MASKED = "•••"  # stands in rejects for what is personal


@dataclass(frozen=True)
class Corrections:
    """`table` has `_file`, `_record` and some of the columns, all as text; null where there is no value."""

    table: pa.Table

    def of_records(self, batches: Iterator[pa.Table]) -> "Corrections":
        """Those for records that are there; `batches` give their places."""
        found = sorted({row for batch in batches for _, row in match(batch, self.table)})
        return Corrections(self.table.take(pa.array(found, pa.int64())))

    def of_malformed(self, malformed: pa.Table, columns: Sequence[str]) -> pa.Table:
        """The records that could not be read and are corrected, whole; a column that is not given has no value."""
        known = set(places(malformed.select(PLACE)))
        rows = [row for row, key in enumerate(places(self.table)) if key in known]
        mended = self.table.take(pa.array(rows, pa.int64())).sort_by([(name, "ascending") for name in PLACE])
        for name in columns:
            if name not in mended.column_names:
                mended = mended.append_column(name, pa.nulls(mended.num_rows, pa.string()))
        return mended.select([*columns, *PLACE]).combine_chunks()

    def of(self, files: Sequence[str]) -> "Corrections":
        """Those for some files."""
        return Corrections(self.table.filter(pc.is_in(self.table.column(FILE), value_set=pa.array(files, pa.string()))))


def load(path: Path, columns: Mapping[str, Any]) -> Corrections:
    """Raises DataError where the file is absent, names no record, or names one twice."""
    if not path.exists():
        raise DataError(f"{path} does not exist; clean.corrections names it. Make it from rejects.parquet")
    table = read(path)
    for name in (FILE, RECORD):
        if name not in table.column_names:
            raise DataError(
                f"{path} has no column {name}, which says whose values these are. Keep it as in rejects.parquet"
            )
    unknown = [name for name in table.column_names if name not in (*columns, FILE, RECORD, "_rules")]
    if unknown:
        raise DataError(f"{path} corrects {unknown[0]!r}, which is not declared.{suggest(unknown[0], columns)}")
    table = table.select([name for name in table.column_names if name != "_rules"])
    try:
        records = pc.cast(pc.cast(table.column(RECORD), pa.string()), pa.int64())
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {RECORD} is not a number: {error}") from None
    table = table.set_column(table.column_names.index(RECORD), RECORD, records)
    for place, name in enumerate(table.column_names):
        if name != RECORD:
            table = table.set_column(place, name, pc.cast(table.column(name), pa.string()))
    for name in (name for name in table.column_names if name != RECORD):
        if masked := table.filter(pc.equal(table.column(name), MASKED)).to_pylist():
            raise DataError(
                f"{path}: {name} of record {masked[0][RECORD]} of {masked[0][FILE]} is masked. Leave the column "
                "out, or write its true value"
            )
    named = table.select([FILE, RECORD]).group_by([FILE, RECORD]).aggregate([([], "count_all")])
    if twice := named.filter(pc.greater(named.column("count_all"), 1)).to_pylist():
        raise DataError(f"{path} corrects record {twice[0][RECORD]} of {twice[0][FILE]} twice. Keep one of them")
    return Corrections(table)


def read(path: Path) -> pa.Table:
    from pyarrow import csv

    try:
        with path.open("rb") as file:
            if path.suffix == ".parquet":
                return pq.read_table(file)
            names = csv.open_csv(file).schema.names
            file.seek(0)
            types = csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
            )
            return csv.read_csv(file, convert_options=types)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def correct(batches: Iterator[pa.Table], corrections: Corrections) -> Iterator[pa.Table]:
    """The batches of a part with their corrected values.

    A corrected column keeps its type where the new values can have it; else it is text in all batches.
    """
    names = [name for name in corrections.table.column_names if name not in PLACE]
    fixes: pa.Table | None = None
    for batch in batches:
        fixes = fixes or typed(corrections.table, batch.schema, names)
        for name in names:
            values = batch.column(name).cast(fixes.schema.field(name).type)
            batch = batch.set_column(batch.column_names.index(name), name, values)
        yield patch(batch, fixes, names)


def typed(fixes: pa.Table, schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            continue
        try:
            fixes = fixes.set_column(fixes.column_names.index(name), name, fixes.column(name).cast(kind))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    return fixes


def patch(batch: pa.Table, fixes: pa.Table, names: Sequence[str]) -> pa.Table:
    found = match(batch, fixes)
    if not found:
        return batch
    mask = np.zeros(batch.num_rows, bool)
    mask[[row for row, _ in found]] = True
    chosen = pa.array([source for _, source in found])
    for name in names:
        values = batch.column(name).combine_chunks()
        mended = pc.replace_with_mask(values, pa.array(mask), fixes.column(name).take(chosen).combine_chunks())
        batch = batch.set_column(batch.column_names.index(name), name, mended)
    return batch


def match(batch: pa.Table, fixes: pa.Table) -> list[tuple[int, int]]:
    """The rows of a batch that are corrected, each with its row of the corrections; in the order of the batch."""
    place = {key: row for row, key in enumerate(places(fixes))}
    maybe = np.flatnonzero(np.asarray(pc.is_in(batch.column(RECORD), value_set=fixes.column(RECORD).combine_chunks())))
    here = places(batch.take(pa.array(maybe)))
    return [(int(row), place[key]) for row, key in zip(maybe, here, strict=True) if key in place]


def places(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(*(table.column(name).to_pylist() for name in PLACE), strict=True))


def unused(fixes: Corrections, folder: Path, malformed: pa.Table) -> list[str]:
    """The corrections that name no record."""
    known = set(places(malformed.select(PLACE)))
    for batch in parts.batches(parts.files(folder), columns=PLACE):
        rows = [row for row, _ in match(batch, fixes.table)]
        known.update(places(batch.take(pa.array(rows, pa.int64()))))
    return [f"{record} of {file}" for file, record in places(fixes.table) if (file, record) not in known]
