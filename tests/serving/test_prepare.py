"""Raw values in, exactly these typed values or exactly these problems out."""

import base64
import io
import json
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.prepare import parse, prepare
from serving.values import NO_TIMESTAMP, Problem

COLUMNS = [
    {"name": "customer", "type": "id", "required": True},
    {"name": "units", "type": "number", "min": 0, "max": 1000, "missing": ["", "NA"]},
    {"name": "country", "type": "category", "values": {"UK": ["GB", "United Kingdom"], "Éire": ["Ireland"]}},
    {"name": "member", "type": "boolean"},
    {"name": "since", "type": "timestamp", "format": "%m/%d/%Y %H:%M"},
    {"name": "note", "type": "text", "max_chars": 10},
]
ROWS = [
    {
        "customer": 17850.0,
        "units": " 6 ",
        "country": "United Kingdom",
        "member": "Yes",
        "since": "12/1/2010 8:26",
        "note": "a  b ",
    },
    {"customer": "17850", "units": 2.5, "country": "E\u0301ire", "member": False, "since": None, "note": None},
    {"customer": "", "units": "12 pcs", "country": "France", "member": "maybe", "since": "2010-12-01", "note": "x"},
    {
        "customer": " A1 ",
        "units": "NA",
        "country": None,
        "member": 0,
        "since": "1/1/1970 0:00",
        "note": "0123456789abc",
    },
    {"units": "1"},
    {"customer": 1, "units": "-0.5"},
    {"customer": 2, "units": 1001},
    {"customer": 3, "units": "1e999"},
    {"customer": 4, "units": True},
    {"customer": 5, "units": float("nan"), "member": "T", "extra": "ignored"},
    {"customer": 6, "units": "1e3", "country": "GB", "member": 1.0, "since": " 2/29/2012 23:59", "note": "\x00 \t"},
    {"customer": 7, "since": "2/30/2012 0:00", "note": "\ud83d"},
]


def test_twelve_raw_rows_give_exactly_these_values():
    arrays, _ = prepare(COLUMNS, ROWS)
    assert arrays["customer"].tolist() == ["17850", "17850", "A1", "5", "6"]
    np.testing.assert_array_equal(arrays["units"], [6.0, 2.5, np.nan, np.nan, 1000.0])
    assert arrays["country"].tolist() == ["UK", "Éire", "", "", "UK"]
    assert arrays["member"].tolist() == [1, 0, 0, 1, 1]
    assert arrays["since"].tolist() == [1291191960, NO_TIMESTAMP, 0, NO_TIMESTAMP, 1330559940]
    assert arrays["note"].tolist() == ["a  b", "", "0123456789", "", ""]
    assert {name: array.dtype.str for name, array in arrays.items()} == {
        "customer": "|O", "units": "<f8", "country": "|O", "member": "<i8", "since": "<i8", "note": "|O",
    }  # fmt: skip


def test_twelve_raw_rows_give_exactly_these_problems():
    _, problems = prepare(COLUMNS, ROWS)
    assert problems == [
        [],
        [],
        [
            "customer is missing",
            'units "12 pcs" is not a number',
            'country "France" is not one of UK, Éire',
            'member "maybe" is neither true nor false',
            'since "2010-12-01" is not a time as %m/%d/%Y %H:%M',
        ],
        [],
        ["customer is missing"],
        ["units -0.5 is below 0"],
        ["units 1001 is above 1000"],
        ["units 1e999 is not a finite number"],
        ["units True is not a number"],
        [],
        [],
        ['since "2/30/2012 0:00" is not a time as %m/%d/%Y %H:%M'],
    ]


def test_rows_with_problems_are_left_out_and_the_others_keep_their_order():
    column = {"name": "x", "type": "number"}
    arrays, problems = prepare([column], [{"x": value} for value in ("3", "?", "1", "", "2")])
    np.testing.assert_array_equal(arrays["x"], [3.0, 1.0, np.nan, 2.0])
    assert [bool(found) for found in problems] == [False, True, False, False, False]


def test_no_rows_give_empty_arrays_of_the_right_types():
    image = {"name": "picture", "type": "image", "height": 2, "width": 3, "channels": 1}
    arrays, problems = prepare([*COLUMNS, image], [])
    assert problems == []
    assert arrays["units"].dtype == np.float64
    assert arrays["note"].dtype == object
    assert arrays["picture"].shape == (0, 2, 3, 1)


def rule(column: dict[str, Any], value: Any) -> str:
    with pytest.raises(Problem) as caught:
        parse({"name": "c", **column}, value)
    return caught.value.rule


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("+5", 5.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("\t7\n", 7.0),
        (7, 7.0),
        (np.float32(0.5), 0.5),
        ("-0", -0.0),
    ],
)
def test_numbers(value, number):
    assert parse({"name": "c", "type": "number"}, value) == number


@pytest.mark.parametrize(
    "value", ["０", "1_000", "1,000", "0x10", "inf", "1e", ".", "\u00a01", "١", b"1", [1], {}, True, 10**400]
)
def test_what_is_no_number(value):
    assert rule({"type": "number"}, value) == "number"


@pytest.mark.parametrize("value", [None, float("nan"), "", "  ", "NA ", "\tnull"])
def test_spellings_of_no_value(value):
    column = {"name": "c", "type": "number", "missing": ["", "NA", "null"]}
    assert parse(column, value) is None
    assert rule({**column, "required": True}, value) == "required"


@pytest.mark.parametrize("value", [True, "true", " TRUE ", "yes", "Y", "t", "1", 1, 1.0])
def test_words_for_true(value):
    assert parse({"name": "c", "type": "boolean"}, value) is True


@pytest.mark.parametrize("value", [False, "false", "NO", "n", "F", "0", 0, -0.0])
def test_words_for_false(value):
    assert parse({"name": "c", "type": "boolean"}, value) is False


def test_declared_words_for_true_and_false_replace_the_usual_ones_but_not_booleans():
    column = {"name": "c", "type": "boolean", "true": ["oui"], "false": ["non"]}
    assert [parse(column, value) for value in ("OUI", "non", True, False)] == [True, False, True, False]
    assert rule(column, "yes") == "boolean"


@pytest.mark.parametrize("value", ["2", 2, 0.5, "ja", [True]])
def test_what_is_neither_true_nor_false(value):
    assert rule({"type": "boolean"}, value) == "boolean"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-01", 0),
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01 02:00+02:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999", -1),
        ("9999-12-31T23:59:59.999999", 253402300799),
        ("0001-01-01", -62135596800),
        (date(1970, 1, 2), 86_400),
        (datetime(1970, 1, 1, 1), 3600),
        (datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1))), -3600),
    ],
)
def test_moments_are_seconds_since_1970_in_utc(value, seconds):
    assert parse({"name": "c", "type": "timestamp"}, value) == seconds


@pytest.mark.parametrize(
    "value",
    ["yesterday", "12/1/2010", "2010-02-30", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00", "10000-01-01", 5, []],
)
def test_what_is_no_moment(value):
    assert rule({"type": "timestamp"}, value) == "timestamp"


def test_a_format_with_a_zone_is_read_with_it():
    column = {"name": "c", "type": "timestamp", "format": "%d/%b/%Y:%H:%M:%S %z"}
    assert parse(column, "10/Oct/2000:13:55:36 -0700") == 971211336


def test_text_is_normalised_trimmed_and_cut():
    column = {"name": "c", "type": "text", "max_chars": 5}
    assert parse(column, " e\u0301tude s") == "étude"
    assert parse(column, "ab   cdef") == "ab"
    assert parse(column, b"caf\xc3\xa9 \xff") == "café"
    assert parse(column, "a\x00b") == "a b"
    assert parse(column, "a\ud800b") == "a?b"
    assert parse(column, 12.5) == "12.5"


def test_text_that_is_empty_once_normalised_is_missing():
    column = {"name": "c", "type": "text", "max_chars": 5, "missing": ["", "NA"]}
    assert [parse(column, value) for value in ("\x00", b"NA", b"", "\u00a0")] == [None, None, None, "\u00a0"]
    assert rule({**column, "required": True}, "\x00") == "required"


def test_words_with_half_a_surrogate_can_still_be_encoded():
    assert parse({"name": "c", "type": "category"}, json.loads('"\\ud83d"')) == "?"


# Pictures


def picture(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
RGB = np.stack([GREY, GREY + 5, 255 - GREY], 2)
ONE = {"name": "c", "type": "image", "height": 3, "width": 4, "channels": 1}
THREE = {**ONE, "channels": 3}


def test_grey_pictures_are_read_pixel_by_pixel():
    assert parse(ONE, picture(GREY))[..., 0].tolist() == GREY.tolist()
    assert parse(THREE, picture(GREY)).tolist() == np.stack([GREY] * 3, 2).tolist()


def test_colour_pictures_are_read_pixel_by_pixel_or_made_grey():
    assert parse(THREE, picture(RGB)).tolist() == RGB.tolist()
    grey = parse(ONE, picture(RGB))
    np.testing.assert_allclose(grey[..., 0], RGB @ [0.299, 0.587, 0.114], atol=1)


def test_pictures_of_16_bits_keep_their_shades():
    deep = (np.arange(12, dtype=np.uint16) * 5000).reshape(3, 4)
    assert parse(ONE, picture(deep))[..., 0].tolist() == (deep // 256).tolist()
    assert parse(THREE, picture(deep))[..., 2].tolist() == (deep // 256).tolist()


def test_pictures_of_another_size_are_scaled():
    large = np.full((30, 40), 77, np.uint8)
    assert parse(ONE, picture(large, "JPEG")).tolist() == np.full((3, 4, 1), 77).tolist()


def test_pictures_come_as_bytes_base64_pixels_or_arrays_alike():
    file = picture(GREY)
    forms = [
        file,
        base64.b64encode(file).decode(),
        {"pixels": base64.b64encode(GREY.tobytes()).decode()},
        GREY,
        GREY[..., None],
    ]
    assert [parse(ONE, form)[..., 0].tolist() for form in forms] == [GREY.tolist()] * 5


@pytest.mark.parametrize(
    "value",
    [
        picture(RGB)[:50],
        picture(np.zeros((64, 64), np.uint8), "JPEG")[:300],
        b"not a picture",
        b"",
        "no base64!",
        "aGVsbG8=",
        "é",
        5,
        1.5,
        [[1, 2], [3, 4]],
        {"pixels": "AAAA"},
        {"pixels": 5},
        {},
        GREY.astype(float),
        GREY[:2],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 3\n%%EndComments\nshowpage\n%%EOF\n",
        b"P5\n4 x3\n255\n" + bytes(12),
    ],
    ids=str,
)
def test_what_is_no_picture(value):
    assert rule(ONE, value) == "image"


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    file = io.BytesIO()
    Image.new("1", (7200, 7000)).save(file, "PNG")
    with pytest.raises(Problem, match="7200 × 7000 pixels; at most 50000000 are read"):
        parse(ONE, file.getvalue())


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"]),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    end=st.integers(0, 1000),
)
@pytest.mark.filterwarnings("ignore")  # Pillow remarks on what is broken
def test_a_damaged_picture_is_a_picture_or_a_problem(kind, changes, end):
    content = bytearray(picture(np.tile(RGB, (5, 5, 1)), kind))
    for place, value in changes:
        content[place % len(content)] = value
    arrays, problems = prepare([THREE], [{"c": bytes(content[:end])}])
    assert arrays["c"].shape == (0 if problems[0] else 1, 3, 4, 3)


def test_a_missing_picture_is_black():
    arrays, _ = prepare([ONE], [{"c": GREY}, {"c": None}])
    assert arrays["c"].shape == (2, 3, 4, 1)
    assert not arrays["c"][1].any()


PERSONAL = [
    ({"type": "id", "pattern": ".+@.+"}, "ada", 'c "•••" breaks its rule pattern .+@.+'),
    ({"type": "category", "values": {"Bo": []}}, "ada", 'c "•••" breaks its rule values'),
    ({"type": "number"}, "ada", 'c "•••" breaks its rule number'),
    ({"type": "number", "max": 41}, "42.25", 'c "•••" breaks its rule max 41'),
    ({"type": "boolean"}, "ada", 'c "•••" breaks its rule boolean'),
    ({"type": "timestamp", "format": "%Y"}, "ada", 'c "•••" breaks its rule timestamp'),
    ({"type": "timestamp", "min": "2020-01-01"}, "1981-10-12", 'c "•••" breaks its rule min 2020-01-01'),
]


@pytest.mark.parametrize(("column", "value", "said"), PERSONAL)
def test_a_problem_of_a_personal_column_names_the_rule_and_not_the_value(column, value, said):
    row = {"c": value}
    assert prepare([{"name": "c", "personal": True, **column}], [row])[1] == [[said]]
    assert value in prepare([{"name": "c", **column}], [row])[1][0][0]
    assert rule({**column, "personal": True}, value) == rule(column, value)
