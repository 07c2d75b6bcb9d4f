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
SCAN_BYTES = 256 << 10
MANY_LINES = 100  # a record of the wrong length that spans more is a stray quote, not one record
CR, LF = 13, 10
BLANK, COMMENTS = "blank lines", "comments"
END = rb"(?P<end>\r\n|\n|\r|\Z)"
SPOILT = re.compile(rb"\0|" + MARK_BYTES)
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
    """Sound records: their text, and of each its number in the file (from 1) and its first line.

    `skipped` counts blank lines and comments. A blank line is none of a file with one column either:
    there, a record without a value is written as two quotes.
    """

    text: bytes
    places: np.ndarray
    lines: np.ndarray
    bad: list[Bad] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


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
    carry = b""
    for block in blocks:
        data = carry + block.data
        while True:
            fast = survey(data, source, at, last=block.last)
            piece, cut = fast or scan(data, source, at, last=block.last)
            yield piece
            data = data[cut:]
            if fast or not cut or not data:
                break
        carry = data
        if len(carry) > 2 * MAX_RECORD_BYTES:
            raise DataError(
                f"{source.name} line {at.line} is longer than {2 * MAX_RECORD_BYTES:,} bytes. Check that it is a CSV "
                "file."
            )


def survey(data: bytes, source: Source, at: Position, *, last: bool) -> tuple[Piece, int] | None:
    """The fast way: a piece and where it ends in `data`, or None where the quotes need a scan."""
    array = np.frombuffer(data, np.uint8)
    ends = line_ends(array, data, last=last)
    if last and data and (not len(ends) or ends[-1] < len(data)):
        ends = np.append(ends, len(data))
    closing = record_ends(array, ends, source.dialect, last=last)
    if closing is None:
        return None
    cut = int(ends[closing[-1]]) if len(closing) else 0
    if len(data) - cut > MAX_RECORD_BYTES or (len(closing) and np.diff(closing, prepend=-1).max() > MANY_LINES):
        return None
    stops = ends[closing]
    starts = np.concatenate([[0], stops[:-1]]).astype(np.int64)[: len(stops)]
    lines = at.line + np.concatenate([[0], closing[:-1] + 1]).astype(np.int64)[: len(stops)]
    first = array[starts] if len(starts) else np.empty(0, np.uint8)
    remark = first == ord(source.dialect.comment) if source.dialect.comment else np.zeros(len(starts), bool)
    numbered = ~((first == CR) | (first == LF) | remark)
    places = at.place + np.cumsum(numbered) - 1
    wrong = spoilt(data, starts, cut) & numbered
    bad = [
        Bad(int(places[row]), int(lines[row]), record, damage(record, source.encoding))
        for row in np.flatnonzero(wrong).tolist()
        for record in [data[starts[row] : stops[row]].rstrip(b"\r\n")]
    ]
    at.place += int(numbered.sum())
    at.line += int(closing[-1]) + 1 if len(closing) else 0
    sound = numbered & ~wrong
    skipped = {BLANK: int((~numbered & ~remark).sum()), COMMENTS: int(remark.sum())}
    return Piece(without(data[:cut], starts, stops, wrong | remark), places[sound], lines[sound], bad, skipped), cut


def record_ends(array: np.ndarray, ends: np.ndarray, dialect: Dialect, *, last: bool) -> np.ndarray | None:
    """Which of the line ends also end a record, or None where that cannot be told by counting quotes."""
    every = np.arange(len(ends))
    quotes = np.flatnonzero(array == ord(dialect.quote)) if dialect.quote else every[:0]
    opens = bounds(array[quotes - 1], dialect) | (quotes == 0)
    if not opens.any():  # none, or each of them within an unquoted value, where it is a plain character
        return every
    if not well_quoted(array, quotes, dialect) or (last and len(quotes) % 2):
        return None
    return np.flatnonzero(np.searchsorted(quotes, ends) % 2 == 0)


def spoilt(data: bytes, starts: np.ndarray, cut: int) -> np.ndarray:
    """True for each record that holds a NUL or a mark of undecodable bytes."""
    found = [match.start() for match in SPOILT.finditer(data, 0, cut)] if SPOILT.search(data, 0, cut) else []
    wrong = np.zeros(len(starts), bool)
    wrong[np.searchsorted(starts, np.array(found, np.int64), side="right") - 1] = True
    return wrong


def without(data: bytes, starts: np.ndarray, stops: np.ndarray, dropped: np.ndarray) -> bytes:
    """The text without some of its records."""
    runs, begin = [], 0
    for row in np.flatnonzero(dropped).tolist():
        runs.append(data[begin : starts[row]])
        begin = int(stops[row])
    return b"".join([*runs, data[begin:]]) if runs else data


def bounds(values: np.ndarray, dialect: Dialect) -> np.ndarray:
    """True for the bytes that stand between values: the delimiter and the line ends."""
    found: np.ndarray = (values == ord(dialect.delimiter)) | (values == LF) | (values == CR)
    return found


def well_quoted(array: np.ndarray, quotes: np.ndarray, dialect: Dialect) -> bool:
    """Whether every opening quote follows a delimiter, a line end or the quote that it doubles, and every
    closing one precedes such. Then counting quotes is exact: an even number stands before a record's end."""
    opening, closing = quotes[::2], quotes[1::2]
    doubled = np.zeros(len(opening), bool)
    doubled[1:] = opening[1:] == closing[: len(opening) - 1] + 1
    opens = doubled | bounds(array[opening - 1], dialect) | (opening == 0)
    following = array[closing[closing + 1 < len(array)] + 1]
    closes = bounds(following, dialect) | (following == ord(dialect.quote))
    return bool(opens.all() and closes.all())


def scan(data: bytes, source: Source, at: Position, *, last: bool) -> tuple[Piece, int]:
    """The slow way, record by record; a line that cannot be read is kept as bad, and the next one is tried."""
    patterns, comment = grammar(source.dialect), source.dialect.comment.encode()
    sound: list[bytes] = []
    places: list[int] = []
    lines: list[int] = []
    bad: list[Bad] = []
    skipped = {BLANK: 0, COMMENTS: 0}
    start = 0
    while start < min(len(data), SCAN_BYTES):  # past the damage, the fast way may go on
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
        elif match[0]:
            skipped[COMMENTS if remark else BLANK] += 1
        at.place += bool(record)
        at.line += count_lines(match[0])
        start = match.end()
    return Piece(b"".join(sound), np.array(places, np.int64), np.array(lines, np.int64), bad, skipped), start


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
