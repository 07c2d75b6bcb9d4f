"""Excel and OpenDocument sheets in (xlsx, xlsm, xlsb, xls, ods), records of text out.

Dates and times come in ISO 8601, whole numbers without a decimal point, a merged range as its value in every cell
of it, an empty cell as null. Rows that are all empty are no records.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.contract.section import Section
from stages.core.errors import DataError, suggest
from stages.ingest import Batch, Raw, number_records
from stages.ingest._parts import Unit, matching

BATCH_ROWS = 50_000


class Options(Section):
    """`sheet` is a name; without one, the first sheet. `header_row` is the row of the names, counted from 1."""

    format: Literal["excel"]
    files: str = "**/*"
    sheet: str = ""
    header_row: int = Field(default=1, ge=1)
    max_columns: int = Field(default=10_000, ge=1)


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    for name in names:
        rows = sheet_rows(raw, name, options)
        header = next(islice(rows, options.header_row - 1, None), [])
        columns = name_columns(header, name, options)
        wanted = [place for place, column in columns.items() if not raw.columns or column in raw.columns]
        if raw.columns and len(wanted) < len(raw.columns):
            wanted = list(columns)  # so that the one which is absent is named beside all that are there
        left_out = tuple(column for place, column in columns.items() if place not in wanted)
        schema = pa.schema([(columns[place], pa.string()) for place in wanted])
        start = 1
        while batch := list(islice(rows, BATCH_ROWS)):
            filled = np.array([any(cell != "" for cell in row) for row in batch], bool)
            places = np.flatnonzero(filled)
            arrays = [[as_text(batch[row][place]) for row in places.tolist()] for place in wanted]
            table = pa.table(arrays, schema=schema) if arrays else pa.table({})
            yield Batch(number_records(table, name, start + places), left_out=left_out)
            start += len(batch)


def sheet_rows(raw: Raw, name: str, options: Options) -> Iterator[list[Any]]:
    """The sheet's rows from its first one, merged cells filled in."""
    import python_calamine as calamine

    try:
        with (raw.folder / name).open("rb") as file, calamine.load_workbook(file) as book:
            wanted = options.sheet or next(iter(book.sheet_names), "")
            if wanted not in book.sheet_names:
                raise DataError(
                    f"{name} has no sheet {wanted!r}.{suggest(wanted, book.sheet_names)} It has: "
                    f"{', '.join(book.sheet_names) or 'none'}. Set ingest.sheet."
                )
            sheet = book.get_sheet_by_name(wanted)
            fill = merged_cells(sheet)
            width = sheet.total_width
            above: dict[tuple[int, int], Any] = {}
            for row, cells in enumerate(sheet.to_python(skip_empty_area=False)):
                for column, (top, left) in fill.get(row, {}).items():
                    if (row, column) == (top, left):
                        above[top, left] = cells[left]
                    elif column < len(cells):
                        cells[column] = above.get((top, left), "")
                yield cells + [""] * (width - len(cells))
    except (calamine.CalamineError, OSError) as error:
        locked = isinstance(error, calamine.PasswordError)
        fix = "Save it without a password." if locked else "Check that it is an Excel file, and fetch it again."
        raise DataError(f"{name} cannot be read as a workbook: {error}. {fix}") from None


def merged_cells(sheet: Any) -> dict[int, dict[int, tuple[int, int]]]:
    """{row: {column: the top left cell of its merged range}}."""
    cells: dict[int, dict[int, tuple[int, int]]] = {}
    for (top, left), (bottom, right) in getattr(sheet, "merged_cell_ranges", None) or []:
        for row in range(top, min(bottom, sheet.total_height) + 1):
            cells.setdefault(row, {}).update(dict.fromkeys(range(left, min(right, sheet.total_width) + 1), (top, left)))
    return cells


def name_columns(header: Sequence[Any], name: str, options: Options) -> dict[int, str]:
    """{place: name} of the header's cells that are not empty."""
    columns = {place: as_text(cell) or "" for place, cell in enumerate(header)}
    columns = {place: column.strip() for place, column in columns.items() if column.strip()}
    twice = sorted(column for column, count in Counter(columns.values()).items() if count > 1)
    if not columns or twice:
        found = f"names {', '.join(twice)} twice" if twice else "is empty"
        raise DataError(f"{name}: row {options.header_row} {found}. Set ingest.header_row to the row of the names.")
    if len(columns) > options.max_columns:
        raise DataError(f"{name} has {len(columns):,} columns, at most {options.max_columns:,} (ingest.max_columns).")
    return columns


def as_text(cell: Any) -> str | None:
    if cell == "" or cell is None:
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.timedelta):
        return str(cell.total_seconds())
    return cell.isoformat() if isinstance(cell, (datetime.date, datetime.time)) else str(cell)
