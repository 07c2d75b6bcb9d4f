"""`columns.number.clean` is vectorised; serving parses one value at a time. They must not differ."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serving.prepare import parse
from serving.values import Problem
from stages.columns import module_of
from stages.contract.loader import declare

some = settings(max_examples=40, deadline=None)
UGLY = (
    "1e999 -1e999 1e-999 +5 -5 1. .5 . + - e5 1e 1e+ 1e5 1E5 1.e2 .5e-2 ０ １２ 1_000 1,000 nan NaN inf -inf "
    "Infinity 0x10 0b1 1e308 1.8e308 4.9e-324 00012 --1 +-1 1-1 1 2 NA N/A null ? ٣ ² Ⅷ 1\u00a0 \u00a01 \u20031 "
    "1\u2028 −5 1\x00 1\x1c"
).split(" ")
STRINGS = [
    *UGLY,
    "",
    " ",
    "\t7\n",
    "\v8\f",
    "\u00a0",
    "9007199254740993",
    "0.1",
    "123456789012345678901234567890",
    "9" * 400,
]
pieces = st.lists(st.sampled_from(list("0123456789+-.eE _\t\n\u00a0\u2003０xinfaNA")), max_size=12).map("".join)
raw_strings = st.one_of(st.none(), st.sampled_from(STRINGS), pieces, st.floats().map(repr), st.text(max_size=5))
declarations = st.fixed_dictionaries(
    {"type": st.just("number"), "required": st.booleans()},
    optional={
        "min": st.sampled_from([0.0, -10, 4.5]),
        "max": st.sampled_from([5, 1e6]),
        "missing": st.just(["", "?", "7", "NA"]),
    },
)


def agree(declared: dict[str, Any], raw: pa.Array) -> None:
    """Values and rules of `clean` equal those of `parse`, one by one, bit for bit."""
    column = declare("t.columns.c", declared)
    description = column.describe("c")
    cleaned = module_of(column).clean("c", column, raw)
    assert len(cleaned.values) == len(raw)
    found = [[] for _ in range(len(raw))]
    for rule, mask in cleaned.broken.items():
        assert mask.dtype == bool
        for row in np.flatnonzero(mask):
            found[row].append(rule)
    for value, kept, rules in zip(raw.to_pylist(), cleaned.values.to_pylist(), found, strict=True):
        try:
            expected, broken = parse(description, value), []
        except Problem as problem:
            expected, broken = None, [problem.rule]
        assert rules == broken, value
        if isinstance(expected, float):
            assert np.float64(expected).tobytes() == np.float64(kept).tobytes(), value
        else:
            assert kept == expected, value


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
@some
@given(declared=declarations, values=st.lists(raw_strings, max_size=20))
@example(declared={"type": "number"}, values=STRINGS)
@example(
    declared={"type": "number", "min": 0, "max": 5, "required": True},
    values=[text for text in STRINGS if "999" not in text],
)
def test_numbers_written_as_text(kind, declared, values):
    agree(declared, pa.array(values, kind))


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
@some
@given(declared=declarations, values=st.lists(st.one_of(st.none(), st.floats(width=32)), max_size=20))
@example(declared={"type": "number"}, values=[float("nan"), float("inf"), -0.0, 5e-324, None, 7.0])
def test_numbers_typed_as_floats(kind, declared, values):
    agree(declared, pa.array(values, kind))


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.uint8()])
@some
@given(declared=declarations, values=st.lists(st.one_of(st.none(), st.integers(0, 255)), max_size=20))
@example(declared={"type": "number"}, values=[0, 7, None, 255])
def test_numbers_typed_as_whole(kind, declared, values):
    agree(declared, pa.array(values, kind))


@pytest.mark.parametrize("kind", [pa.decimal128(38, 18), pa.decimal128(20, 0), pa.decimal256(60, 30)])
@some
@given(declared=declarations, data=st.data())
def test_numbers_typed_as_decimals(kind, declared, data):
    unscaled = st.integers(-(10**kind.precision) + 1, 10**kind.precision - 1)
    values = data.draw(st.lists(st.one_of(st.none(), unscaled), max_size=20))
    exact = [None if value is None else Decimal(f"{value}E-{kind.scale}") for value in values]
    agree(declared, pa.array(exact, kind))


def test_a_price_in_decimals_is_the_nearest_number_within_its_bounds():
    column = declare("t.columns.c", {"type": "number", "min": 0})
    raw = pa.array([Decimal("0.10"), None, Decimal("-1.00"), Decimal("123456789.99")], pa.decimal128(12, 2))
    cleaned = module_of(column).clean("c", column, raw)
    assert cleaned.values.to_pylist() == [0.1, None, None, 123456789.99]
    assert {rule: mask.tolist() for rule, mask in cleaned.broken.items()} == {"min": [False, False, True, False]}


@pytest.mark.parametrize("value", ["NaN", "sNaN", "Infinity", "1E+999"])
def test_a_decimal_that_is_no_finite_number_is_told_of_as_one(value):
    with pytest.raises(Problem, match="is not a finite number"):
        parse({"name": "c", "type": "number"}, Decimal(value))


@some
@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
@example(values=[2**53 + 1, 2**63 - 1, -(2**63)])
def test_whole_numbers_past_2_to_the_53_are_rounded_alike(values):
    agree({"type": "number"}, pa.array(values, pa.int64()))


@pytest.mark.parametrize(
    "raw",
    [
        pa.array([True, None, False]),
        pa.array([b"1", b"x", None]),
        pa.array(["1", "x", None, "1"]).dictionary_encode(),
        pa.nulls(2),
        pa.nulls(0),
        pa.array([2**64 - 1], pa.uint64()),
        pa.array(["1", "2", "x"]).slice(1, 2),
    ],
    ids=["booleans", "bytes", "dictionary", "nulls", "nothing", "unsigned", "slice"],
)
def test_other_arrow_types_are_parsed_one_by_one(raw):
    agree({"type": "number"}, raw)


words = st.one_of(
    st.none(),
    st.sampled_from(
        [
            "NA",
            "",
            " ",
            "UN\u212a",
            "UNK",
            "e\u0301",
            "é",
            "null\0",
            "\0",
            "nullify",
            "\u00a0NA",
            "yes",
            "TRUE",
            "0",
            "2020-01-01",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "category"},
        {"type": "category", "missing": ["UNK"], "required": True},
        {"type": "category", "values": {"yes": ["é"], "no": ["0"]}},
        {"type": "id"},
        {"type": "text", "max_chars": 4},
        {"type": "text", "max_chars": 1000, "required": True},
        {"type": "boolean"},
        {"type": "boolean", "true": ["yes"], "false": ["0"], "required": True},
        {"type": "timestamp"},
        {"type": "number"},
    ],
    ids=lambda declared: ", ".join(f"{key} {value}" for key, value in declared.items() if key != "values"),
)
@some
@given(raw=st.lists(words, max_size=15), seed=st.integers(0, 9))
@example(raw=["UN\u212a", "\0", "nullify", "e\u0301", None], seed=0)
def test_cleaning_any_words_is_idempotent_and_order_free(declared, raw, seed):
    column = declare("t.columns.c", declared)

    def clean(values: pa.Array) -> Any:
        return module_of(column).clean("c", column, values)

    values = pa.array(raw, pa.string())
    once = clean(values)
    broken = np.any([np.zeros(len(raw), bool), *once.broken.values()], axis=0)
    sound = once.values.filter(pa.array(~broken))
    again = clean(sound)
    assert again.broken == {}
    assert again.values.equals(sound)
    order = pa.array(np.random.default_rng(seed).permutation(len(raw)))
    assert clean(values.take(order)).values.equals(once.values.take(order))
