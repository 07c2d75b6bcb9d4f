"""Locales, units, bounds, patterns, formats and epochs: what `clean` does vectorised equals what serving does."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.prepare import parse
from serving.values import Problem
from stages.columns import module_of
from stages.contract.loader import declare
from stages.core.errors import ContractError

some = settings(max_examples=60, deadline=None)
GERMAN = {"type": "number", "decimal": ",", "thousands": "."}
SHOP = {**GERMAN, "units": {"€": 1, "ct": 0.01, "kg": 1000, "g": 1}, "min": -5, "max": 2e6, "clip": True}
ENGLISH = {"type": "number", "thousands": ",", "units": {"%": 0.01, "$": 1}, "required": True, "min": 0}
DAY_FIRST = {"type": "timestamp", "format": "%d/%m/%Y %H:%M", "min": "2001-01-01", "max": "2020-12-31T12:00"}
DECLARED = [
    GERMAN,
    SHOP,
    ENGLISH,
    {"type": "number", "thousands": " ", "units": {"a.b": 2, "a": 3}},
    {"type": "number", "min": 0, "max": 10, "clip": True},
    {"type": "id", "pattern": "[AC]?[0-9]{3}", "required": True},
    {"type": "category", "pattern": "[a-z]+", "values": {"red": ["r"], "blue": []}},
    {"type": "category", "values": {"red": ["r", "Ré"], "blue": []}, "required": True},
    {"type": "text", "max_chars": 3, "required": True},
    {"type": "timestamp"},
    {"type": "timestamp", "required": True, "min": "1970-01-02"},
    DAY_FIRST,
    {"type": "timestamp", "format": "%Y%m%d"},
    {"type": "timestamp", "format": ["%d.%m.%Y", "%Y-%m-%d"]},
    {"type": "timestamp", "format": "%d/%m/%Y %H:%M", "zone": "Europe/London"},
    {"type": "timestamp", "epoch": "ms"},
    {"type": "timestamp", "format": "%d %b %Y"},
    {"type": "id", "pattern": r"\d+(?!\d)|\w{3}"},
    {"type": "id", "pattern": "[^\\s]+|(?i:ab) cd"},
]
UGLY = [
    *"1.234,50 1,234.50 1.234 1,5 1,5,0 1.23.456 12.345.678,9 € 1.234,5 12€ €12 12ct 5g 5kg $3.50 50% 1,234%".split(),
    *"€ 12|12 €|1 234 567|- 5|+5|-,5|,5|5,|.5|3a|a3|3a.b|a3a|1.2345|1234|1,23|-1.000|kg|1e3|1,5e2|1..2|1.000.".split(
        "|"
    ),
    *"A123 123 12 C12 red r blue Ré Re\u0301 RED abcd null NA".split(),
    *"2011-05-01|2011-5-1|2011-02-30|2012-02-29|2011-05-01T10:00|2011-05-01 10:00:59.999|2011-05-01T24:00".split("|"),
    *"2011-05-01T10:00Z|2011-05-01T10:00+02:00|0000-01-01|0001-01-01|9999-12-31 23:59:59|10000-01-01|20110501".split(
        "|"
    ),
    *"01/05/2011 10:00|1/5/2011 9:05|31/02/2011 00:00|01/05/2011  10:00|01/05/11 10:00|01/05/2011 10:60".split("|"),
    *"28/03/2010 01:30|31/10/2010 01:30|01/01/2021 00:00".split("|"),
    *"01.05.2011|0|86400000|-1|1.5|1e3|9999999999999999|1 May 2011".split("|"),
    *"٣|１２|2011-05-0１|\u00a05|x\x00y|\x00|  |\t7|7\n8".split("|"),
    None,
]
PIECES = st.lists(st.sampled_from([*"0123456789.,- +€%$gk:/TZ", "ct", "12", "2011", "-05-", "01/"]), max_size=9).map(
    "".join
)


def agree(declared: dict, raw: pa.Array, plain: list[str | None]) -> None:
    column = declare("t.columns.c", declared)
    cleaned = module_of(column).clean("c", column, raw)
    rules: list[list[str]] = [[] for _ in plain]
    for rule, mask in cleaned.broken.items():
        for row in np.flatnonzero(mask):
            rules[row].append(rule)
    kept = cleaned.values
    seconds = kept.type == pa.timestamp("us")
    values = (kept.cast(pa.int64()) if seconds else kept).to_pylist()
    for value, found, broken in zip(plain, values, rules, strict=True):
        try:
            expected, want = parse(column.describe("c"), value), []
        except Problem as problem:
            expected, want = None, [problem.rule]
        assert broken == want, value
        if seconds and expected is not None:
            expected *= 1_000_000
        assert found == expected, value


@pytest.mark.parametrize("declared", DECLARED, ids=str)
@some
@given(values=st.lists(st.one_of(st.sampled_from(UGLY), PIECES), max_size=12))
def test_any_strings(declared, values):
    agree(declared, pa.array(values, pa.string()), values)
    agree(declared, pa.array(values, pa.string()).dictionary_encode(), values)


@pytest.mark.parametrize("declared", DECLARED, ids=str)
@pytest.mark.parametrize("times", [1, 4])
def test_every_ugly_string(declared, times):
    """Once each, parsed directly; four times each, parsed once per distinct value."""
    agree(declared, pa.array(UGLY * times, pa.large_string()), UGLY * times)


def number(text: str, **declared: object) -> float:
    return parse({"name": "n", "type": "number", **declared}, text)


def test_what_locales_and_units_mean():
    assert number("€ 1.234,50", decimal=",", thousands=".", units={"€": 1}) == 1234.5
    assert number("250 g", units={"kg": 1, "g": 0.001}) == 0.25
    assert number("50%", units={"%": 0.01}) == 0.5
    assert number("1 234", thousands=" ") == 1234
    assert number("99", max=10, clip=True) == 10
    for text, declared in (("1.5", {"decimal": ","}), ("1,23,456", {"thousands": ","}), ("5 lb", {"units": {"kg": 1}})):
        with pytest.raises(Problem, match="is not a number"):
            number(text, **declared)


@pytest.mark.parametrize("kind", ["s", "ms", "us", "ns"])
def test_arrow_times_are_cut_to_seconds_and_held_to_the_years_that_python_knows(kind):
    column = declare("t.columns.c", {"type": "timestamp", "min": "1960-01-01"})
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind]
    raw = [0, -ticks - 1 if kind != "s" else -2, -400_000_000 * ticks, None]
    far = [253_402_300_800 * ticks] if kind != "ns" else []
    cleaned = module_of(column).clean("c", column, pa.array([*raw, *far], pa.timestamp(kind)))
    assert cleaned.values.cast(pa.int64()).to_pylist()[:4] == [0, -2_000_000, None, None]
    assert np.flatnonzero(cleaned.broken["min"]).tolist() == [2]
    assert [np.flatnonzero(mask).tolist() for rule, mask in cleaned.broken.items() if rule == "timestamp"] == [
        [4]
    ] * len(far)


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"type": "number", "thousands": "."}, "both decimal and thousands"),
        ({"type": "number", "clip": True}, "a min or a max beside clip"),
        ({"type": "number", "units": {"m2": 1}}, "words without digits"),
        ({"type": "timestamp", "format": "%Y", "epoch": "s"}, "either format or epoch"),
        ({"type": "timestamp", "min": "May"}, "bounds as ISO 8601"),
        ({"type": "timestamp", "zone": "Mars/Olympus"}, "is not known here"),
        ({"type": "id", "pattern": "("}, "a regular expression"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(declared, told):
    with pytest.raises(ContractError, match=told):
        declare("t.columns.c", declared)


def test_clipped_values_are_counted_alike_whatever_they_are_written_as():
    column = declare("t.columns.c", {"type": "number", "min": 0, "max": 100, "clip": True})
    for raw in (pa.array([0, 0, 5, 100, -3]), pa.array(["0", "0", "5", "100", "-3"]), pa.array([0.0, 0, 5, 100, -3])):
        cleaned = module_of(column).clean("c", column, raw)
        assert (cleaned.values.to_pylist(), cleaned.clipped) == ([0, 0, 5, 100, 0], 1)


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32()])
@pytest.mark.parametrize("epoch", ["s", "ms", "us"])
def test_numbers_of_ticks_are_times(kind, epoch):
    declared = {"type": "timestamp", "epoch": epoch, "max": "2020-01-01", "required": True}
    values = [0, 1, -1, 999, -1001, 2_000_000_000, 2**31 - 1, None]
    values += [2**62, -(2**62), 1_600_000_000_000] if kind == pa.int64() else []
    agree(declared, pa.array(values, kind), values)
