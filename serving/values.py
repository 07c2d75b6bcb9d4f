"""One raw value and its column in; a number, word, list of ids, truth, time or text out, or the rule that it breaks.

This file cleans the training data and travels in every bundle, so both see the same values.
"""

import functools
import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np

Column = Mapping[str, Any]
Parser = Callable[[Column, Any], Any]
NO_TIMESTAMP = -(2**63)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
WORDS = {True: ("true", "yes", "y", "t", "1"), False: ("false", "no", "n", "f", "0")}
NFC_CHARS = 2_000
SPACE = " \t\n\r\v\f"
MASK = "•••"
TICKS = {"s": 1, "ms": 1_000, "us": 1_000_000}


class Problem(ValueError):
    """A value that breaks a rule of its column; `rule` is the rule's name."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(text)
        self.rule = rule


def discreet(parse: Parser) -> Parser:
    """The same parser, whose problems name a personal column's rule and not the value that breaks it."""

    @functools.wraps(parse)
    def parse_discreetly(column: Column, value: Any) -> Any:
        try:
            return parse(column, value)
        except Problem as problem:
            if not column.get("personal"):
                raise
            bound = column.get(problem.rule)
            wanted = f" {bound}" if isinstance(bound, (str, int, float)) else ""
            raise Problem(problem.rule, f'{column["name"]} "{MASK}" breaks its rule {problem.rule}{wanted}') from None

    return parse_discreetly


@discreet
def parse_number(column: Column, value: Any) -> float:
    text, factor = to_plain(column, value) if isinstance(value, str) else (value, 1.0)
    if isinstance(text, str) and not NUMBER.fullmatch(text):
        raise Problem("number", f'{column["name"]} "{shorten(value)}" is not a number')
    if isinstance(text, bool) or not isinstance(text, (str, int, float, Decimal, np.number)):
        raise Problem("number", f"{column['name']} {shorten(value)} is not a number")
    try:
        number = float(text) * factor
    except (OverflowError, ValueError):  # a whole number past 1e308, or the decimal sNaN
        number = math.inf
    if not math.isfinite(number):
        raise Problem("number", f"{column['name']} {shorten(value)} is not a finite number")
    if column.get("clip"):
        number = max(number, column.get("min", number))
        number = min(number, column.get("max", number))
    if column.get("min") is not None and number < column["min"]:
        raise Problem("min", f"{column['name']} {number:g} is below {column['min']:g}")
    if column.get("max") is not None and number > column["max"]:
        raise Problem("max", f"{column['name']} {number:g} is above {column['max']:g}")
    return number + 0.0  # -0.0 and 0.0 are one value


def to_plain(column: Column, value: str) -> tuple[str, float]:
    """A number as its locale writes it, such as "€ 1.234,50" → ("1234.50", factor of its unit)."""
    text, factor = value.strip(SPACE), 1.0
    for unit in sorted(column.get("units") or (), key=lambda unit: (-len(unit), unit)):
        if text.endswith(unit) or text.startswith(unit):
            text = (text.removesuffix(unit) if text.endswith(unit) else text.removeprefix(unit)).strip(SPACE)
            factor = column["units"][unit]
            break
    mark, decimal = column.get("thousands"), column.get("decimal", ".")
    if mark and re.fullmatch(rf"[+-]?[0-9]{{1,3}}({re.escape(mark)}[0-9]{{3}})+({re.escape(decimal)}[0-9]*)?", text):
        text = text.replace(mark, "")
    if decimal != ".":
        text = text.replace(".", "?").replace(decimal, ".")  # a point then is no part of a number
    return text, factor


@discreet
def parse_word(column: Column, value: Any) -> str:
    """A category or an id: trimmed, Unicode NFC, aliases replaced by the value they stand for."""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = nfc(encodable(str(value)).strip(SPACE))
    if column.get("pattern") and not re.fullmatch(column["pattern"], word):
        raise Problem("pattern", f'{column["name"]} "{shorten(word)}" does not match {column["pattern"]}')
    values = column.get("values")
    if not values:
        return word
    aliases = {alias: name for name, names in values.items() for alias in (name, *names)}
    if word not in aliases:
        raise Problem("values", f'{column["name"]} "{shorten(word)}" is not one of {shorten(", ".join(values), 80)}')
    return str(aliases[word])


@discreet
def parse_boolean(column: Column, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    word = str(value).strip(SPACE).lower()
    for truth, words in WORDS.items():
        if word in column.get("true" if truth else "false", words):
            return truth
    raise Problem("boolean", f'{column["name"]} "{shorten(value)}" is neither true nor false')


@discreet
def parse_timestamp(column: Column, value: Any) -> int:
    """Seconds since 1970-01-01 UTC; a time without a zone is in the column's `zone`, or else UTC."""
    try:
        moment = to_moment(column, value)
        zone = moment.tzinfo or (find_zone(column["zone"]) if column.get("zone") else timezone.utc)
        seconds = (moment.replace(tzinfo=zone).astimezone(timezone.utc) - EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):  # a zone may lead out of the years 1 … 9999
        wanted = column.get("format") or (f"{column['epoch']} since 1970" if column.get("epoch") else "ISO 8601")
        raise Problem("timestamp", f'{column["name"]} "{shorten(value)}" is not a time as {wanted}') from None
    for rule, sign, word in (("min", 1, "before"), ("max", -1, "after")):
        if column.get(rule) is not None and sign * seconds < sign * parse_timestamp({"name": rule}, column[rule]):
            raise Problem(rule, f"{column['name']} {shorten(value)} is {word} {column[rule]}")
    return seconds


def to_moment(column: Column, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    text = str(value).strip(SPACE)
    if column.get("epoch"):
        if not NUMBER.fullmatch(text):
            raise ValueError(text)
        number = int(text) if text.lstrip("+-").isdigit() else float(text)
        return EPOCH + timedelta(seconds=math.floor(number / TICKS[column["epoch"]]))
    formats = column.get("format")
    if not formats:
        return datetime.fromisoformat(text)
    for written in [formats] if isinstance(formats, str) else formats:
        try:
            return datetime.strptime(text, written)
        except ValueError:
            continue
    raise ValueError(text)


def find_zone(name: str) -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def parse_text(column: Column, value: Any) -> str:
    """Unicode NFC, without what matches `remove`, trimmed, cut to `max_chars` characters."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = nfc(encodable(text).replace("\x00", " "))
    if column.get("remove"):
        text = re.sub(column["remove"], "", text)
    text = text.strip(SPACE)
    return text[: column["max_chars"]].rstrip(SPACE)


@discreet
def parse_items(column: Column, value: Any) -> list[str]:
    """Ids of a list, of text with the column's `separator`, or of a JSON list; where there are too many, the last.

    An id that is missing is left out. Of a set each stays once, where it stood last.
    """
    entries = to_entries(column, value)
    missing = ("", *column.get("missing", ()))
    words = [parse_word(column, entry) for entry in entries if not is_absent(entry, missing)]
    words = [word for word in words if word not in missing]
    if column.get("order") == "set":
        words = list(dict.fromkeys(reversed(words)))[::-1]
    return words[-column["max_items"] :]


def to_entries(column: Column, value: Any) -> list[Any]:
    entries: list[Any] | None
    if isinstance(value, (list, tuple, np.ndarray)):
        entries = list(value)
    elif isinstance(value, str) and column.get("separator"):
        entries = list(value.split(column["separator"]))
    else:
        try:
            entries = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            entries = None
    if not isinstance(entries, list) or any(isinstance(entry, (list, tuple, dict, np.ndarray)) for entry in entries):
        hint = "" if column.get("separator") else "; text needs a separator, or to be a JSON list"
        raise Problem("items", f'{column["name"]} "{shorten(value)}" is not a list of ids{hint}')
    return entries


def is_absent(entry: Any, missing: Sequence[str]) -> bool:
    if entry is None or (isinstance(entry, float) and math.isnan(entry)):
        return True
    return isinstance(entry, str) and entry.strip(SPACE) in missing


def encodable(text: str) -> str:
    """The text with "?" for each lone surrogate, which JSON may carry and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode()


def nfc(text: str) -> str:
    """Unicode NFC, in pieces: unicodedata is quadratic in a run of combining marks."""
    if len(text) <= NFC_CHARS or text.isascii():
        return unicodedata.normalize("NFC", text)
    pieces, start = [], 0
    while start < len(text):
        end = min(start + NFC_CHARS, len(text))
        while end < len(text) and end - start < 2 * NFC_CHARS and unicodedata.combining(text[end]):
            end += 1  # marks stay with their letter
        pieces.append(unicodedata.normalize("NFC", text[start:end]))
        start = end
    return "".join(pieces)


def shorten(value: Any, limit: int = 40) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
