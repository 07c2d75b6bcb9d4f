"""CSV files in, records of text out; ragged lines are kept as malformed, with the reason."""

import codecs
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pydantic import Field

from stages.contract.section import Section
from stages.core.errors import ContractError, DataError
from stages.ingest import Batch, Raw, number_records
from stages.ingest._parts import Unit, matching

BLOCK_BYTES = 8 << 20
MAX_HEADER_CHARS = 1 << 20


class Options(Section):
    """All values are read as text; the columns' types say what they are."""

    format: Literal["csv"]
    files: str = "**/*"
    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    quote: str = Field(default='"', min_length=1, max_length=1)


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    try:
        codecs.lookup(options.encoding)
    except LookupError:
        raise ContractError(
            f"ingest.encoding is {options.encoding!r}, which Python does not know; try utf-8, latin-1, gb18030"
        ) from None
    for name in names:
        yield from read_file(raw.folder / name, name, options)


def read_file(path: Path, name: str, options: Options) -> Iterator[Batch]:
    malformed: list[dict[str, Any]] = []
    broken: list[int] = []

    def keep(row: csv.InvalidRow) -> str:
        reason = f"{row.actual_columns} fields; the header has {row.expected_columns}"
        place = row.number - 1  # pyarrow counts the header
        broken.append(place)
        malformed.append({"_file": name, "_record": place, "text": row.text, "reason": reason})
        return "skip"

    first = 1
    with path.open("rb") as file:
        try:
            header = read_header(file, name, options)
            reader = csv.open_csv(
                file,
                read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, encoding=options.encoding),
                parse_options=csv.ParseOptions(
                    delimiter=options.delimiter,
                    quote_char=options.quote,
                    newlines_in_values=True,
                    invalid_row_handler=keep,
                ),
                convert_options=csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in reader:
                places = np.arange(first, first + batch.num_rows + len(broken))
                places = places[~np.isin(places, broken)][: batch.num_rows]
                first = int(places[-1]) + 1 if len(places) else first
                yield Batch(number_records(pa.Table.from_batches([batch]), name, places), tuple(malformed))
                malformed.clear()
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{name} after record {first - 1}: cannot be read as {options.encoding} text: {error}. "
                "Check that it is a CSV file, and declare its encoding in ingest.encoding (utf-8, latin-1, gb18030, …)."
            ) from None
    if malformed:
        yield Batch(pa.table({}), tuple(malformed))


def read_header(file: Any, name: str, options: Options) -> list[str]:
    """Column names from the first record; the file is left at its start."""
    import csv as standard_csv

    text = io.TextIOWrapper(file, options.encoding, newline="")
    head = iter(lambda: text.readline(MAX_HEADER_CHARS), "")  # a quoted name may hold a line break
    lines = (line.lstrip("\ufeff") if place == 0 else line for place, line in enumerate(head))
    try:
        names = next(standard_csv.reader(lines, delimiter=options.delimiter, quotechar=options.quote), [])
    except standard_csv.Error as error:
        raise DataError(f"{name}: the header cannot be read: {error}. Check that it is a CSV file.") from None
    text.detach()
    file.seek(0)
    twice = sorted({column for column in names if names.count(column) > 1})
    if not names or twice:
        found = f"has the columns {', '.join(twice)} twice" if twice else "is empty"
        raise DataError(f"{name}: the header {found}. Mend the file's first line.")
    return names
