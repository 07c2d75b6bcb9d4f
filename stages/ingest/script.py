"""Raw files in, what the user's own `sources/<pipeline>/ingest.py` makes of them out.

It defines `read(paths: list[Path])`, a generator of Arrow tables or of lists of dicts. It is called once for each
raw file, or with `together: true` once with all of them. A dict's values become text (bytes stay bytes); a table
keeps its types. It may add `_file` and `_record` itself; without them, records are numbered as they come.
"""

import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from stages.contract.section import Section
from stages.core.errors import ContractError, DataError, IngotError
from stages.ingest import FILE, RECORD, About, Batch, Raw, number_records
from stages.ingest._parts import Unit, matching
from stages.ingest.parquet import plain

SCRIPT = "ingest.py"


class Options(Section):
    """`together: true` hands all files to one call: for those that must be joined."""

    format: Literal["script"]
    files: str = "**/*"
    together: bool = False


def units(raw: Raw, options: Options) -> list[Unit]:
    found = matching(raw.folder, options.files)
    return [tuple(name for (name,) in found)] if options.together else found


def about(raw: Raw, options: Options) -> About:
    """The report says whose code it was; its hash is in every part's key as all of `sources/` is."""
    return About(remarks={"script": f"{raw.sources.name}/{SCRIPT}"})


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    path = raw.sources / SCRIPT
    function = load(path).read
    for group in [list(names)] if options.together else [[name] for name in names]:
        start = 1
        for found in guarded(function, raw, group):
            table = to_table(found, path)
            if FILE not in table.column_names or RECORD not in table.column_names:
                places = np.arange(start, start + table.num_rows)
                own = [name for name in table.column_names if name not in (FILE, RECORD)]
                table = number_records(table.select(own), group[0], places)
            start += table.num_rows
            yield Batch(table)


def load(path: Path) -> ModuleType:
    """The script as a module: compiled from its text, so that no byte code is written beside it."""
    if not path.exists():
        raise ContractError(f"ingest.format is script, and {path} does not exist. Write it: def read(paths): yield …")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    except Exception as error:
        raise failure(error, path) from error
    if not callable(getattr(module, "read", None)):
        raise ContractError(f"{path} defines no function read. Write: def read(paths): yield [{{'column': 'value'}}]")
    return module


def guarded(function: Any, raw: Raw, names: Sequence[str]) -> Iterator[Any]:
    """What it yields. Where a declared column is personal, an error's own text may quote it, and is withheld."""
    path = raw.sources / SCRIPT
    try:
        found = function([raw.folder / name for name in names])
        if found is None or isinstance(found, (str, bytes, dict)):
            raise DataError(
                f"{path}: read returned {type(found).__name__}; it must yield Arrow tables or lists of dicts."
            )
        yield from [found] if isinstance(found, pa.Table) else found
    except IngotError:
        raise
    except Exception as error:
        if not raw.personal:
            raise failure(error, path) from error
        more = f" and {len(names) - 1:,} files more" if len(names) > 1 else ""
        text = f"in {names[0]}{more} (its text is not shown, as {', '.join(raw.personal[:5])} is personal)"
        raise failure(error, path, text) from None


def failure(error: Exception, path: Path, text: str = "") -> DataError:
    """Where in the user's code it happened: the last frame of it."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else 0
    code = f" ({own[-1].line})" if own and own[-1].line else ""
    return DataError(f"{path} line {line}{code}: {type(error).__name__}: {text or error}")


def to_table(found: Any, path: Path) -> pa.Table:
    if isinstance(found, pa.RecordBatch):
        found = pa.Table.from_batches([found])
    if isinstance(found, pa.Table):
        return found.cast(pa.schema([(item.name, plain(item.type)) for item in found.schema]))
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise DataError(f"{path}: read yielded {type(found).__name__}; it must yield Arrow tables or lists of dicts.")
    columns = dict.fromkeys(str(name) for row in found for name in row)
    return pa.table({name: to_array([row.get(name) for row in found], name) for name in columns})


def to_array(values: list[Any], name: str) -> pa.Array:
    """Text, so that every batch has the same types; record numbers and bytes stay what they are."""
    if name == RECORD:
        return pa.array(values, pa.int64())
    if any(isinstance(value, (bytes, bytearray)) for value in values):
        return pa.array(values, pa.binary())
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
