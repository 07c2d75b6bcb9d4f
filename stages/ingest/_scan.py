"""Blocks of CSV text in; whole, sound records and where each began out, with every other line and its reason.

Sound text takes the fast way: numpy looks at the quotes and line ends alone. A block in which a quote
stands where none may, or with marked bytes, is scanned record by record, and resumes on the next line
after one that cannot be read.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from stages.core.errors import DataError
from stages.ingest._text import MARK_BYTES, Block, line_ends, show_marks

MAX_RECORD_BYTES = 8 << 20  # a quoted value that is longer was never closed
MANY_LINES = 100  # a record of the wrong length that spans more is a stray quote, not one record
CR, LF = 13, 10
END = rb"(?P<end>\r\n|\n|\r|\Z)"
LINE = re.compile(rb"[^\r\n]*+" + END)


@dataclass(frozen=True)
class Dialect:
    """How fields are parted and quoted: single ASCII characters, `quote` and `comment` may be empty."""

    delimiter: str
    quote: str
    comment: str = ""


@dataclass(frozen=True)
class Source:
    """A file of CSV text: `num_fields` is how many its header has."""

    name: str
    encoding: str
    dialect: Dialect
    num_fields: int


@dataclass(frozen=True)
class Bad:
    """A line that is no record: its number among the records, its line in the file, and why."""

    place: int
    line: int
    text: bytes
    reason: str


@dataclass(frozen=True)
class Piece:
    """Sound records: their text, and of each its number in the file (from 1) and its first line."""

    text: bytes
    places: np.ndarray
    lines: np.ndarray
    bad: list[Bad] = field(default_factory=list)


@dataclass
class Position:
    """How far a file has been read: the number of the next record, and of the next line."""

    place: int = 1
    line: int = 1


@dataclass(frozen=True)
class Grammar:
    record: re.Pattern[bytes]
    field: re.Pattern[bytes]
    unclosed: re.Pattern[bytes]


@cache
def grammar(dialect: Dialect) -> Grammar:
    """RFC 4180 with any delimiter; a quote within an unquoted value is a plain character."""
    d, q = re.escape(dialect.delimiter.encode()), re.escape(dialect.quote.encode())
    quoted = rb"%s(?:[^%s]++|%s%s)*+%s" % (q, q, q, q, q)
    plain = rb"[^%s\r\n]*+" % d if not q else rb"(?!%s)[^%s\r\n]*+" % (q, d)
    value = rb"(?:%s|%s)" % (quoted, plain) if q else plain
    record = rb"%s(?:%s%s)*+%s" % (value, d, value, END)
    unclosed = rb"(?:%s%s)*+%s(?:[^%s]++|%s%s)*+\Z" % (value, d, q, q, q, q) if q else rb"(?!)"
    return Grammar(*map(re.compile, (record, rb"%s(?P<delimiter>%s|)" % (value, d), unclosed)))


def pieces(blocks: Iterable[Block], source: Source, at: Position) -> Iterator[Piece]:
    """All records of the blocks, which begin where a record does: after the header, at `at`."""
    carry, damaged = b"", False
    for block in blocks:
        data, damaged = carry + block.data, damaged or block.damaged
        found = None if damaged else survey(data, source.dialect, at, last=block.last)
        piece, cut = found or scan(data, source, at, last=block.last)
        yield piece
        carry = data[cut:]
        damaged = MARK_BYTES in carry
        if len(carry) > 2 * MAX_RECORD_BYTES:
            raise DataError(
                f"{source.name} line {at.line} is longer than {2 * MAX_RECORD_BYTES:,} bytes. Check that it is a CSV "
                "file."
            )


def survey(data: bytes, dialect: Dialect, at: Position, *, last: bool) -> tuple[Piece, int] | None:
    """The fast way: a piece and where it ends in `data`, or None where the block needs a scan."""
    if not data:
        return Piece(b"", np.empty(0, np.int64), np.empty(0, np.int64)), 0
    if b"\0" in data:
        return None
    array = np.frombuffer(data, np.uint8)
    ends = line_ends(array, data, last=last)
    if last and (not len(ends) or ends[-1] < len(data)):
        ends = np.append(ends, len(data))
    closing = np.arange(len(ends))  # those of the line ends that end a record
    if dialect.quote and dialect.quote.encode() in data:
        quotes = np.flatnonzero(array == ord(dialect.quote))
        if not well_quoted(array, quotes, dialect) or (last and len(quotes) % 2):
            return None
        closing = np.flatnonzero(np.searchsorted(quotes, ends) % 2 == 0)
    cut = int(ends[closing[-1]]) if len(closing) else 0
    if len(data) - cut > MAX_RECORD_BYTES or (len(closing) and np.diff(closing, prepend=-1).max() > MANY_LINES):
        return None
    starts = np.concatenate([[0], ends[closing[:-1]]]).astype(np.int64)[: len(closing)]
    lines = at.line + np.concatenate([[0], closing[:-1] + 1]).astype(np.int64)[: len(closing)]
    first = array[starts] if len(starts) else np.empty(0, np.uint8)
    blank = (first == CR) | (first == LF)
    text = data[:cut]
    if dialect.comment:
        remark = first == ord(dialect.comment)
        if remark.any():
            spans = zip(starts[~remark].tolist(), ends[closing[~remark]].tolist(), strict=True)
            text, blank = b"".join(data[start:end] for start, end in spans), blank | remark
    places = at.place + np.arange(int((~blank).sum()))
    at.place += len(places)
    at.line += int(closing[-1]) + 1 if len(closing) else 0
    return Piece(text, places, lines[~blank]), cut


def well_quoted(array: np.ndarray, quotes: np.ndarray, dialect: Dialect) -> bool:
    """Whether every opening quote follows a delimiter, a line end or the quote that it doubles, and every
    closing one precedes such. Then counting quotes is exact: an even number stands before a record's end."""
    opening, closing = quotes[::2], quotes[1::2]
    delimiter = ord(dialect.delimiter)

    def bounds(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = (values == delimiter) | (values == LF) | (values == CR)
        return found

    doubled = np.zeros(len(opening), bool)
    doubled[1:] = opening[1:] == closing[: len(opening) - 1] + 1
    opens = doubled | bounds(array[opening - 1]) | (opening == 0)
    after = closing[closing + 1 < len(array)]
    following = array[after + 1]
    closes = bounds(following) | (following == ord(dialect.quote))
    return bool(opens.all() and closes.all())


def scan(data: bytes, source: Source, at: Position, *, last: bool) -> tuple[Piece, int]:
    """The slow way, record by record; a line that cannot be read is kept as bad, and the next one is tried."""
    patterns, comment = grammar(source.dialect), source.dialect.comment.encode()
    sound: list[bytes] = []
    places: list[int] = []
    lines: list[int] = []
    bad: list[Bad] = []
    start = 0
    while start < len(data):
        remark = bool(comment) and data.startswith(comment, start)
        match = None if remark else patterns.record.match(data, start)
        open_to_end = not remark and match is None and patterns.unclosed.match(data, start) is not None
        if open_to_end and not last and len(data) - start <= MAX_RECORD_BYTES:
            break
        reason = "" if match or remark else what_is_wrong(source.dialect, open_to_end=open_to_end)
        if match and stray_quote(match[0], patterns, source.num_fields):
            match = None
            reason = f"a quote that opens here takes in more than {MANY_LINES} lines; it seems never to be closed"
        match = match or LINE.match(data, start)
        assert match is not None
        if not last and match.end() == len(data) and match["end"] != b"\n":
            break  # the rest is still to come
        record = b"" if remark else data[start : match.start("end")]
        reason = reason or damage(record, source.encoding)
        if reason:
            bad.append(Bad(at.place, at.line, record, reason))
        elif record:
            sound.append(match[0])
            places.append(at.place)
            lines.append(at.line)
        at.place += bool(record)
        at.line += count_lines(match[0])
        start = match.end()
    return Piece(b"".join(sound), np.array(places, np.int64), np.array(lines, np.int64), bad), start


def damage(record: bytes, encoding: str) -> str:
    if MARK_BYTES in record:
        return f"bytes that are not {encoding} text"
    return "a NUL byte in it" if b"\0" in record else ""


def what_is_wrong(dialect: Dialect, *, open_to_end: bool) -> str:
    if open_to_end:
        return f"a quote {dialect.quote} is opened and never closed"
    return f"text after a closing quote {dialect.quote}; a quote within a quoted value is written twice"


def stray_quote(record: bytes, patterns: Grammar, num_fields: int) -> bool:
    """Whether a record takes in many lines and has the wrong number of fields."""
    if count_lines(record) <= MANY_LINES:
        return False
    start, found = 0, 0
    while match := patterns.field.match(record, start):
        start, found = match.end(), found + 1
        if not match["delimiter"]:
            break
    return found != num_fields


def count_lines(text: bytes) -> int:
    return text.count(b"\n") + text.count(b"\r") - text.count(b"\r\n")


def readable(text: bytes) -> str:
    """Bytes as the report shows them: undecodable ones as \\x.."""
    return show_marks(text.decode("utf-8", "backslashreplace"))
