"""A sample of CSV text in, its likely delimiter, quote and header out."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

DELIMITERS = (",", ";", "\t", "|")
QUOTES = ('"', "'")
SAMPLE_ROWS = 200
NUMBER_OR_DATE = re.compile(r"[-+(]?[$€£]?[\d.,:/ -]*\d[\d.,:/ TZ%)-]*")


@dataclass(frozen=True)
class Guess:
    """`share` of the rows have `num_fields` fields when parted this way."""

    delimiter: str
    quote: str
    num_fields: int
    share: float


def reader_options(delimiter: str, quote: str) -> dict[str, Any]:
    """For Python's csv.reader: an empty quote means that no value is quoted."""
    import csv as standard_csv

    quoting = standard_csv.QUOTE_MINIMAL if quote else standard_csv.QUOTE_NONE
    return {"delimiter": delimiter, "quotechar": quote or None, "quoting": quoting}


def rows(sample: str, delimiter: str, quote: str) -> list[list[str]]:
    """The first rows that are not empty; none where Python's csv module cannot read them."""
    import csv as standard_csv

    reader = standard_csv.reader(sample.splitlines(keepends=True), **reader_options(delimiter, quote))
    try:
        return [row for row in islice(reader, SAMPLE_ROWS) if row]
    except standard_csv.Error:
        return []


def guess(sample: str, delimiters: Sequence[str] = DELIMITERS, quotes: Sequence[str] = ('"',)) -> Guess:
    """The way of parting that gives most rows the same number of fields, then the most fields.

    A file of one column has no delimiter: then the first of `delimiters` is as good as any.
    """
    guesses = [attempt(sample, delimiter, quote) for quote in quotes for delimiter in delimiters]
    several = [found for found in guesses if found.num_fields > 1]
    if not several:
        return guesses[0]
    # max() keeps the first of equals: the order of DELIMITERS and QUOTES is the order of trust
    return max(several, key=lambda found: (round(found.share, 1), found.num_fields > 2, found.share, found.num_fields))


def attempt(sample: str, delimiter: str, quote: str) -> Guess:
    widths = Counter(len(row) for row in rows(sample, delimiter, quote))
    if not widths:
        return Guess(delimiter, quote, 0, 0.0)
    num_fields, count = widths.most_common(1)[0]
    return Guess(delimiter, quote, num_fields, count / widths.total())


def guess_quote(sample: str, delimiter: str) -> str:
    """The quote that wraps some value whole, or the double quote."""
    d = re.escape(delimiter)
    counts = {q: len(re.findall(rf"(?:^|{d}){q}[^{q}\n]*{q}(?={d}|\r?$)", sample, re.MULTILINE)) for q in QUOTES}
    return max(QUOTES, key=lambda quote: counts[quote])


def has_header(first: Sequence[str], below: Sequence[Sequence[str]], declared: Collection[str]) -> bool:
    """Whether the first row names the columns: it holds a declared name, or, where none is declared,
    it has no number or date in a column that is of such below."""
    if declared:
        return any(name.strip() in declared for name in first)
    if len(set(first)) < len(first) or any(not name.strip() for name in first):
        return False
    columns = list(zip(*(row for row in below if len(row) == len(first)), strict=True))
    figures = [all(NUMBER_OR_DATE.fullmatch(value) for value in column if value) for column in columns]
    named = [not NUMBER_OR_DATE.fullmatch(name) for name in first]
    return all(named) and (not columns or any(figures))
