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

from stages.core.errors import DataError, suggest

FILE, RECORD = "_file", "_record"
MASKED = "•••"  # stands in rejects for what is personal


@dataclass(frozen=True)
class Corrections:
    """`table` has `_file`, `_record` and some of the columns, all as text; null where there is no value."""

    table: pa.Table

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


def correct(
    batches: Iterator[pa.Table], corrections: Corrections, malformed: pa.Table, used: list[tuple[int, int]] | None
) -> Iterator[pa.Table]:
    """The batches with corrected values; what was malformed and is corrected follows. `used` gets the two counts."""
    left = corrections.table
    for batch in batches:
        if left.num_rows and batch.num_rows:
            batch, left = patch(batch, left)
        yield batch
    broken = malformed.select([FILE, RECORD])
    mended = left.join(broken, [FILE, RECORD], join_type="inner").sort_by([(FILE, "ascending"), (RECORD, "ascending")])
    if used is not None:
        used.append((corrections.table.num_rows - left.num_rows, mended.num_rows))
    if mended.num_rows:
        for name in batch.column_names:
            if name not in mended.column_names:  # nobody said: no value
                mended = mended.append_column(name, pa.nulls(mended.num_rows, pa.string()))
        yield mended.select(batch.column_names)


def patch(batch: pa.Table, left: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The batch with its corrections, and the corrections that are for another one."""
    place = {
        key: row
        for row, key in enumerate(zip(*(left.column(name).to_pylist() for name in (FILE, RECORD)), strict=True))
    }
    maybe = np.flatnonzero(np.asarray(pc.is_in(batch.column(RECORD), value_set=left.column(RECORD).combine_chunks())))
    here = batch.take(pa.array(maybe)).select([FILE, RECORD]).to_pylist()
    found = [
        (row, place[item[FILE], item[RECORD]])
        for row, item in zip(maybe, here, strict=True)
        if (item[FILE], item[RECORD]) in place
    ]
    if not found:
        return batch, left
    mask = np.zeros(batch.num_rows, bool)
    mask[[row for row, _ in found]] = True
    chosen = pa.array([source for _, source in found])
    for name in (name for name in left.column_names if name not in (FILE, RECORD)):
        values = batch.column(name).cast(pa.string()).combine_chunks()
        mended = pc.replace_with_mask(values, pa.array(mask), left.column(name).take(chosen).combine_chunks())
        batch = batch.set_column(batch.column_names.index(name), name, mended)
    return batch, left.filter(pa.array(~np.isin(np.arange(left.num_rows), np.asarray(chosen))))
