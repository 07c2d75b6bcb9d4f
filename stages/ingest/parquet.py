"""Parquet, Arrow and Feather files in, records with their own types out; `key=value` folders become columns."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from stages.contract.section import Section
from stages.core.errors import DataError
from stages.ingest import About, Batch, Raw, absent, number_records
from stages.ingest._parts import Unit, matching

BATCH_ROWS = 131_072
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
READ_ERRORS = (pa.ArrowException, OSError, EOFError)


class Options(Section):
    """Parquet, Arrow (file or stream) and Feather files are told apart by their content."""

    format: Literal["parquet"]
    files: str = "**/*"


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def about(raw: Raw, options: Options) -> About:
    """One type for each column over all files: int64 where some have int32, text where some hold nothing."""
    names = [name for (name,) in units(raw, options)]
    merged: pa.Schema | None = None
    known: dict[str, None] = {}
    folders: set[str] = set()
    for name in names:
        schema = read_schema(raw.folder / name, name)
        folders |= {*from_folders(name)}
        known |= dict.fromkeys([*schema.names, *folders])
        found = wanted_fields(schema, raw.columns)
        try:
            merged = pa.unify_schemas([merged, found], promote_options="permissive") if merged is not None else found
        except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{name} has columns of other types than the files before it: {error}. Write the files alike."
            ) from None
    for column in raw.columns:
        if column not in known:
            raise absent(names[0], column, list(known))
    assert merged is not None, "matching() found no file"
    merged = pa.schema(
        [
            item.with_type(pa.string()) if pa.types.is_null(item.type) and item.name in folders else item
            for item in merged
        ]
    )
    return About(key=[[item.name, str(item.type)] for item in merged], state=merged)


def wanted_fields(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The declared columns, dictionaries as the values that they hold, without metadata."""
    return pa.schema([(item.name, plain(item.type)) for item in schema if not columns or item.name in columns])


def plain(kind: pa.DataType) -> pa.DataType:
    """The type in which a column is kept: no dictionaries, no extension types, no views."""
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type)
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    for name in names:
        folders, read_rows = from_folders(name), 0
        try:
            for table, left_out in tables(raw.folder / name, name, raw.columns):
                places = np.arange(read_rows + 1, read_rows + table.num_rows + 1)
                read_rows += table.num_rows
                lacks = [column for column in raw.columns if column not in {*table.column_names, *folders}]
                table = with_folders(table, folders, name, raw)
                typed = to_types(table, raw.state)
                yield Batch(number_records(typed, name, places), left_out=left_out, lacks={name: lacks})
        except READ_ERRORS as error:
            raise damaged(name, error, f" after record {read_rows:,}") from None


def with_folders(table: pa.Table, folders: dict[str, str | None], name: str, raw: Raw) -> pa.Table:
    """The values of `key=value` folders as columns, where the file itself has none of that name."""
    settled = {} if raw.state is None else dict(zip(raw.state.names, raw.state.types, strict=True))
    for key, value in folders.items():
        if key in table.column_names or (raw.columns and key not in raw.columns):
            continue
        kind = settled.get(key, pa.string())
        try:
            scalar = pa.scalar(value, pa.string()).cast(kind)
        except pa.ArrowException:
            raise DataError(
                f"{name}: the folder {key}={value} is no {kind}, which {key} is within other files. Write the files "
                "alike."
            ) from None
        table = table.append_column(key, pa.repeat(scalar, table.num_rows))
    return table


def to_types(table: pa.Table, merged: pa.Schema | None) -> pa.Table:
    """In the types that `about` settled; a column that this file lacks but others have is null in it."""
    if merged is None:
        return table
    columns = {
        item.name: table[item.name].cast(item.type)
        if item.name in table.column_names
        else pa.nulls(table.num_rows, item.type)
        for item in merged
    }
    columns |= {key: table[key] for key in table.column_names if key not in columns}  # from folders
    return pa.table(columns) if columns else table


def from_folders(name: str) -> dict[str, str | None]:
    """{key: value} of the folders called key=value, as Hive and Spark write them."""
    pairs = [part.split("=", 1) for part in Path(name).parts[:-1] if "=" in part]
    return {unquote(key): None if value == HIVE_NULL else unquote(value) for key, value in pairs}


def read_schema(path: Path, name: str) -> pa.Schema:
    try:
        with path.open("rb") as file:
            if is_parquet(file):
                return pq.ParquetFile(file).schema_arrow
            return open_arrow(file, name).schema
    except READ_ERRORS as error:
        raise damaged(name, error) from None


def is_parquet(file: Any) -> bool:
    magic = file.read(4)
    file.seek(0)
    return bool(magic == b"PAR1")


def open_arrow(file: Any, name: str) -> Any:
    """A reader of the file or the stream format. Raises DataError for anything else."""
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        return pa.ipc.open_file(file)
    if magic[:4] == b"FEA1":
        raise DataError(f"{name} is a Feather file of version 1, which pyarrow no longer reads. Write it as Parquet.")
    if magic[:4] == b"\xff\xff\xff\xff":
        return pa.ipc.open_stream(file)
    raise DataError(
        f"{name} is no Parquet, Arrow or Feather file: it begins with {magic.hex(' ') or 'nothing'}. Leave it out by "
        "ingest.files, or fetch it again."
    )


def tables(path: Path, name: str, columns: Sequence[str]) -> Iterator[tuple[pa.Table, tuple[str, ...]]]:
    """The declared columns in pieces, and the names of those left unread."""
    with path.open("rb") as file:  # opened by Python, so that the test on dvc.yaml sees it
        if is_parquet(file):
            source = pq.ParquetFile(file, page_checksum_verification=True)
            found = source.schema_arrow.names
            wanted = [column for column in found if not columns or column in columns]
            for batch in source.iter_batches(BATCH_ROWS, columns=wanted):
                yield pa.Table.from_batches([batch]), tuple(column for column in found if column not in wanted)
            return
        reader = open_arrow(file, name)
        found = reader.schema.names
        wanted = [column for column in found if not columns or column in columns]
        batches = (
            reader
            if not hasattr(reader, "num_record_batches")
            else map(reader.get_batch, range(reader.num_record_batches))
        )
        for batch in batches:
            yield pa.Table.from_batches([batch]).select(wanted), tuple(c for c in found if c not in wanted)


def damaged(name: str, error: Exception, where: str = "") -> DataError:
    return DataError(f"{name}{where} cannot be read: {error}. It is cut off or damaged: fetch it again.")
