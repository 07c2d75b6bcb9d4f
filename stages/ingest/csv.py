"""CSV files in, records of text out; every line that is no record is kept as malformed, with line and reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pydantic import Field, ValidationInfo, field_validator

from stages.contract.section import Section
from stages.core.errors import DataError
from stages.ingest import Batch, Raw, malformed_row, number_records
from stages.ingest._dialect import QUOTES, guess, guess_quote, has_header, reader_options, rows
from stages.ingest._parts import Unit, matching
from stages.ingest._scan import LINE, Bad, Dialect, Piece, Position, Source, count_lines, grammar, pieces, readable
from stages.ingest._text import (
    AUTO,
    MARK_BYTES,
    Block,
    blocks,
    check_encoding,
    detect_encoding,
    guess_encoding,
    restore,
)

SAMPLE_CHARS = 64 << 10
TAB_SUFFIXES = (".tsv", ".tab")


class Options(Section):
    """All values are read as text; the columns' types say what they are.

    `encoding`, `delimiter`, `quote` and `header` may be "auto". The default delimiter is the comma, in files named
    .tsv or .tab the tab. `quote: ""` means that no value is quoted. Without a header, `names` names the columns.
    """

    format: Literal["csv"]
    files: str = "**/*"
    encoding: str = "utf-8"
    delimiter: str | None = None
    quote: str = '"'
    header: bool | Literal["auto"] = True
    names: list[str] = Field(default=[])
    skip_rows: int = Field(default=0, ge=0)
    comment: str = ""
    max_columns: int = Field(default=10_000, ge=1)

    @field_validator("delimiter", "quote", "comment")
    @classmethod
    def one_character(cls, mark: str | None, info: ValidationInfo) -> str | None:
        """pyarrow parts by single bytes."""
        usable = mark is None or (len(mark) == 1 and mark.isascii() and mark not in "\r\n")
        if usable or (mark == "" and info.field_name != "delimiter") or (mark == AUTO and info.field_name != "comment"):
            return mark
        raise ValueError("one ASCII character" + ("" if info.field_name == "comment" else ", or auto"))


@dataclass(frozen=True)
class Opened:
    """A file whose header is read: `rest` is the text after it, which begins at `at`."""

    source: Source
    names: list[str]
    rest: Iterator[Block]
    at: Position
    detected: dict[str, Any]


def units(raw: Raw, options: Options) -> list[Unit]:
    return matching(raw.folder, options.files)


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    check_encoding(options.encoding)
    for name in names:
        opened = open_file(raw, name, options)
        every = set(raw.columns) <= set(opened.names) and bool(raw.columns)
        wanted = list(raw.columns) if every else opened.names
        left_out = tuple(column for column in opened.names if column and column not in wanted)
        remarks = {name: opened.detected} if opened.detected else {}
        yield Batch(empty(wanted), left_out=left_out, detected=remarks)
        for piece in pieces(opened.rest, opened.source, opened.at):
            yield parse(piece, opened.source, opened.names, wanted)


def empty(names: Sequence[str]) -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in [*names, "_file"]})


def open_file(raw: Raw, name: str, options: Options) -> Opened:
    """Settle encoding and dialect, declared or detected, and read the header."""
    path = raw.folder / name
    encoding = detect_encoding(path, name) if options.encoding == AUTO else options.encoding
    text = blocks(path, name, encoding)
    head = next(text)
    start = skip_lines(head.data, options)
    sample = head.data[start : start + SAMPLE_CHARS].decode("utf-8", "replace")
    dialect = settle(sample, name, options)
    first = first_record(head, start, Source(name, encoding, dialect, 0))
    if len(first) > options.max_columns:
        raise DataError(
            f"{name}: the header has {len(first):,} columns, at most {options.max_columns:,} are allowed. Check the "
            "delimiter and the line ends, or raise ingest.max_columns."
        )
    header = options.header
    if header == AUTO:
        header = has_header(first, rows(sample, dialect.delimiter, dialect.quote)[1:], raw.columns)
    end = header_end(head, start, dialect) if header else start
    names = name_columns(first if header else None, len(first), name, options)
    check_names(names, sample, raw, name, dialect)
    settled = {"encoding": encoding, "delimiter": dialect.delimiter, "quote": dialect.quote, "header": bool(header)}
    detected = {key: value for key, value in settled.items() if getattr(options, key) == AUTO}
    rest = chain([replace(head, data=head.data[end:])], text)
    at = Position(line=1 + count_lines(head.data[:end]))
    return Opened(Source(name, encoding, dialect, len(names)), names, rest, at, detected)


def settle(sample: str, name: str, options: Options) -> Dialect:
    """The dialect as declared; what is "auto" is guessed from the sample."""
    delimiter, quote = options.delimiter, options.quote
    if delimiter is None:
        delimiter = "\t" if name.lower().removesuffix(".gz").removesuffix(".zst").endswith(TAB_SUFFIXES) else ","
    if delimiter == AUTO:
        delimiter = guess(sample, quotes=QUOTES if quote == AUTO else (quote,)).delimiter
    if quote == AUTO:
        quote = guess_quote(sample, delimiter)
    return Dialect(delimiter, quote, options.comment)


def skip_lines(data: bytes, options: Options) -> int:
    """Where the header begins: after `skip_rows` lines, and after those that begin with the comment mark."""
    start, skipped = 0, 0
    while start < len(data):
        remark = options.comment and data.startswith(options.comment.encode(), start)
        if skipped >= options.skip_rows and not remark:
            break
        end = LINE.match(data, start)
        start, skipped = end.end() if end else len(data), skipped + 1
    return start


def header_end(head: Block, start: int, dialect: Dialect) -> int:
    match = grammar(dialect).record.match(head.data, start)
    return match.end() if match else start


def first_record(head: Block, start: int, source: Source) -> list[str]:
    """The fields of the first record. Raises DataError where there is none."""
    import csv as standard_csv

    match = grammar(source.dialect).record.match(head.data, start)
    if match is None or (match.end() == len(head.data) and not head.last):
        reason = "is not closed" if head.last else f"does not end within {len(head.data):,} bytes"
        raise DataError(
            f"{source.name}: the header {reason}: a quote in it is wrong, or it is no CSV file. It begins with "
            f"{readable(head.data[start : start + 60])!r}."
        )
    line = head.data[start : match.start("end")]
    if MARK_BYTES in line:
        raise DataError(
            f"{source.name}: the header holds bytes that are not {source.encoding} text; it looks like "
            f"{guess_encoding(restore(line))}. Set ingest.encoding, or set it to auto."
        )
    if b"\0" in line:
        raise DataError(f"{source.name}: the header holds a NUL byte. Check that it is a CSV file.")
    if not line:
        raise DataError(f"{source.name}: the header is empty. Mend the file's first line, or set ingest.skip_rows.")
    standard_csv.field_size_limit(max(standard_csv.field_size_limit(), len(line)))
    return next(standard_csv.reader([line.decode()], **reader_options(source.dialect.delimiter, source.dialect.quote)))


def name_columns(first: list[str] | None, num_fields: int, name: str, options: Options) -> list[str]:
    """The header's names, or those that are declared."""
    if options.names and len(options.names) != num_fields:
        raise DataError(f"{name} has {num_fields} columns, and ingest.names names {len(options.names)}.")
    if first is None and not options.names:
        raise DataError(f"{name} has no header; name its {num_fields} columns in ingest.names.")
    return list(options.names or first or [])


def check_names(names: list[str], sample: str, raw: Raw, name: str, dialect: Dialect) -> None:
    """Raise DataError where a column cannot be told from another, or the delimiter is plainly another.

    A name twice is no matter where it is not declared; it is then made distinct, in place.
    """
    if raw.columns and not set(raw.columns) & set(names):
        better = guess(sample, quotes=(dialect.quote,))
        if better.delimiter != dialect.delimiter and better.num_fields > len(names):
            raise DataError(
                f"{name}: parted by {dialect.delimiter!r} the header is {', '.join(names[:3])[:100]!r}. It looks "
                f"parted by {better.delimiter!r}, into {better.num_fields} columns. Set ingest.delimiter: "
                f"{show_delimiter(better.delimiter)}"
            )
    counts = Counter(names)
    twice = sorted(column for column, count in counts.items() if count > 1)
    if [column for column in twice if column in raw.columns or not raw.columns]:
        raise DataError(f"{name}: the header has the columns {', '.join(twice)} twice. Mend the file's first line.")
    seen: Counter[str] = Counter()
    for place, column in enumerate(names):
        seen[column] += 1
        if seen[column] > 1:
            names[place] = f"{column} ({seen[column]})"


def show_delimiter(delimiter: str) -> str:
    return '"\\t"' if delimiter == "\t" else f'"{delimiter}"'


def parse(piece: Piece, source: Source, names: Sequence[str], wanted: Sequence[str]) -> Batch:
    """Sound text to a table by pyarrow, which also finds the records of another length."""
    ragged: list[csv.InvalidRow] = []

    def keep(row: csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    table = empty(wanted).drop_columns("_file")
    if len(piece.places):
        table = csv.read_csv(
            pa.BufferReader(piece.text),
            csv.ReadOptions(use_threads=False, block_size=len(piece.text) + 1, column_names=list(names)),
            csv.ParseOptions(
                delimiter=source.dialect.delimiter,
                quote_char=source.dialect.quote or False,
                newlines_in_values=True,
                invalid_row_handler=keep,
            ),
            csv.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=list(wanted),
                strings_can_be_null=False,
                check_utf8=False,  # it was decoded
            ),
        )
    odd = np.array([row.number - 1 for row in ragged], np.int64)
    assert table.num_rows + len(odd) == len(piece.places), f"{source.name}: a record was lost or made up"
    bad = [
        Bad(int(piece.places[place]), int(piece.lines[place]), row.text.encode(),
            f"{row.actual_columns} fields; the header has {row.expected_columns}")
        for place, row in zip(odd.tolist(), ragged, strict=True)
    ] + hint(piece.bad, source.encoding)  # fmt: skip
    malformed = [
        malformed_row(source.name, line.place, readable(line.text), line.reason, line=line.line)
        for line in sorted(bad, key=lambda line: line.place)
    ]
    numbered = number_records(table, source.name, np.delete(piece.places, odd))
    return Batch(numbered, malformed, skipped=piece.skipped)


def hint(bad: list[Bad], encoding: str) -> list[Bad]:
    """Lines in another encoding say which it seems to be."""
    foreign = b"\n".join(restore(line.text) for line in bad if MARK_BYTES in line.text)
    if not foreign:
        return bad
    likely = guess_encoding(foreign)
    clue = "" if likely == encoding else f"; if all are like this, set ingest.encoding: {likely}"
    return [replace(line, reason=line.reason + clue) if MARK_BYTES in line.text else line for line in bad]
