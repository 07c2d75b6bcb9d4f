"""The drawn graph of each column type against a small oracle in numpy and plain Python."""

from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.utils import murmurhash3_32

from stages.columns import Encoder, encode, feature_options, fit, module_of
from stages.contract.loader import declare

few = settings(max_examples=40, deadline=None)
numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3).map(float),
    st.sampled_from([-0.0, 1e300, -1e300, 1.7e308, 5e-324, -5e-324, 1e-310, 0.1, None]),
    st.none(),
)
words = st.one_of(
    st.sampled_from(["a", "b", "", "é", "日本", "👍🏽", "A", " a"]), st.text(st.characters(exclude_categories=["Cs"]))
)


def fitted(declared: dict[str, Any], train: list[Any], **features: Any) -> tuple[Encoder, dict[str, Any], Any]:
    """An encoder of one column `c`, fitted on typed values; and the column and Arrow type."""
    columns = {"c": declare("t.columns.c", declared)}
    kinds = {"number": pa.float64(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us"), "image": pa.binary(12)}
    kind = kinds.get(declared["type"], pa.string())
    options = feature_options(columns, {}, {"c": features}, "t.features")
    return fit(columns, options, pa.table({"c": pa.array(train, kind)})), columns, kind


def encoded(declared: dict[str, Any], train: list[Any], values: list[Any], **features: Any) -> np.ndarray:
    encoder, columns, kind = fitted(declared, train, **features)
    (array,) = encode(encoder, columns, pa.table({"c": pa.array(values, kind)})).values()
    return array


# Numbers


def scaled(train: list[float | None], values: list[float | None], scale: str) -> np.ndarray:
    """[N, 1 or 2]: what number.py promises, written once more from its words."""
    present = np.clip([x for x in train if x is not None], -1e100, 1e100)
    present = np.where(np.abs(present) < 1e-100, 0.0, present) if len(present) else np.zeros(1)
    low, middle, high = (np.quantile(present, share) for share in (0.001, 0.5, 0.999))

    def shape(xs: list[float | None]) -> np.ndarray:
        filled = np.array([middle if x is None else x for x in xs], np.float64)
        if scale == "quantile":
            levels = [np.quantile(present, share) for share in np.linspace(0, 1, 33)]
            knots = sorted(set(levels))
            shares = [
                np.mean([s for s, level in zip(np.linspace(0, 1, 33), levels, strict=True) if level == k])
                for k in knots
            ]
            return np.interp(filled, knots, [NormalDist().inv_cdf(min(max(s, 0.01), 0.99)) for s in shares])
        filled = np.clip(filled, low, high)
        return np.copysign(np.log1p(np.abs(filled)), filled) if scale == "log" else filled

    learnt = shape(train) if train else np.zeros(1)
    std = learnt.std() if learnt.std() > 1e-12 * np.abs(learnt).max() else 1.0
    units = [(shape(values) - learnt.mean()) / std]
    if None in train:
        units.append(np.array([x is None for x in values], float))
    return np.stack(units, 1).astype(np.float32)


@pytest.mark.parametrize("scale", ["standard", "log", "quantile"])
@few
@given(train=st.lists(numbers, max_size=12), values=st.lists(numbers, min_size=1, max_size=12))
@example(train=[1e308, -1e308, 1.7e308], values=[1.7e308, -1.7e308, None])
@example(train=[0.1, 0.1, 0.1], values=[0.1, -5.0])
@example(train=[5e-324, 0.0, 1e-310], values=[5e-324, -0.0])
def test_numbers_are_scaled_as_numpy_scales_them(scale, train, values):
    found = encoded({"type": "number"}, train, values, scale=scale)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, scaled(train, values, scale), rtol=1e-5, atol=1e-3)


def test_seven_numbers_become_exactly_these():
    train = [1.0, 2.0, 3.0, None, 1000.0]
    found = encoded({"type": "number"}, train, [1.0, 2.5, None, 1e6, -1e6, -0.0])
    # filled with 2.5, clipped to 1.003 … 997.009
    expected = [[-0.50313, 0], [-0.49938, 0], [-0.49938, 1], [2.0, 0], [-0.50312, 0], [-0.50312, 0]]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_quantiles_of_even_numbers_are_normal_scores():
    found = encoded({"type": "number"}, [float(x) for x in range(33)], [16.0, 24.0, 32.0, 99.0, 0.0], scale="quantile")
    np.testing.assert_allclose(found[:, 0] / found[2, 0], [0, 0.67449 / 2.32635, 1, 1, -1], atol=1e-5)


def test_a_number_that_never_varies_becomes_zero_whatever_comes():
    for scale in ("standard", "log", "quantile"):
        found = encoded({"type": "number"}, [0.1] * 7, [0.1, 5.0, -5.0, 1e300], scale=scale)
        np.testing.assert_allclose(found, np.zeros((4, 1)), atol=1e-15)


# Categories and booleans


@few
@given(train=st.lists(words, max_size=12), values=st.lists(words, min_size=1, max_size=12), min_count=st.integers(1, 3))
def test_categories_are_numbered_by_frequency_then_name(train, values, min_count):
    counts = {word: train.count(word) for word in train if word and train.count(word) >= min_count}
    vocabulary = sorted(counts, key=lambda word: (-counts[word], word))
    expected = [vocabulary.index(word) + 1 if word in vocabulary else 0 for word in values]
    assert encoded({"type": "category"}, train, values, min_count=min_count).tolist() == expected


def test_a_vocabulary_keeps_its_most_frequent_values():
    train = ["c"] * 3 + ["b"] * 2 + ["a"] * 2 + ["d", None]
    assert encoded({"type": "category"}, train, ["a", "b", "c", "d", None], max_values=2).tolist() == [2, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("train", "expected"),
    [([True, False], [[1.0], [-1.0], [0.0]]), ([True, None], [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])],
)
def test_booleans_become_plus_and_minus_one(train, expected):
    assert encoded({"type": "boolean"}, train, [True, False, None]).tolist() == expected


# Timestamps

moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(
    lambda moment: moment.replace(microsecond=0)
)


def calendar(train: list[datetime], moment: datetime) -> list[float]:
    """Hour, weekday, day of a year of 365.2425 days, as angles; and days from the mean in deviations."""
    midnight = moment.replace(hour=0, minute=0, second=0)
    day = (moment - midnight) / timedelta(days=1)
    week = ((moment.weekday() - 3) % 7 + day) / 7  # 1970 began on a Thursday
    year = ((moment - datetime(1970, 1, 1)) % timedelta(seconds=31_556_952)) / timedelta(seconds=31_556_952)
    days = [(t - datetime(1970, 1, 1)) / timedelta(days=1) for t in train]
    std = np.std(days) if min(days) < max(days) else 1.0
    angles = [f(2 * np.pi * turn) for turn in (day, week, year) for f in (np.sin, np.cos)]
    return [*angles, ((moment - datetime(1970, 1, 1)) / timedelta(days=1) - np.mean(days)) / std]


@few
@given(train=st.lists(moments, min_size=1, max_size=6), values=st.lists(moments, min_size=1, max_size=6))
@example(train=[datetime(1970, 1, 1)], values=[datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)])
@example(train=[datetime(1969, 12, 31, 23, 59, 59)] * 3, values=[datetime(1969, 12, 31), datetime(1970, 1, 1)])
def test_moments_are_read_as_the_calendar_reads_them(train, values):
    found = encoded({"type": "timestamp"}, train, values)
    np.testing.assert_allclose(found, [calendar(train, moment) for moment in values], rtol=1e-5, atol=1e-5)


def test_a_missing_moment_is_the_mean_one_and_is_marked():
    found = encoded(
        {"type": "timestamp"}, [datetime(2020, 1, 1), datetime(2020, 1, 3), None], [None, datetime(2020, 1, 2)]
    )
    assert found[0, :-1].tolist() == found[1, :-1].tolist()
    assert found[:, -1].tolist() == [1.0, 0.0]


def test_one_moment_in_training_does_not_blow_up_the_next_day():
    moment = datetime(2011, 12, 9, 12, 50, 1)
    trend = encoded({"type": "timestamp"}, [moment] * 7, [moment, moment + timedelta(days=1)])[:, -1]
    np.testing.assert_allclose(trend, [0.0, 1.0], atol=1e-9)


# Text


def kind_of(letter: str) -> str:
    """han, letter, mark or nothing, by code point."""
    code = ord(letter)
    if 0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x323AF:
        return "han"
    if letter in "!$%?£¥€":
        return "mark"
    if code < 0x80:
        return "letter" if letter.isalnum() else ""
    if code in (0xAA, 0xB5, 0xBA) or (0xC0 <= code <= 0x1FFF and code not in (0xD7, 0xF7)):
        return "letter"
    return "letter" if 0x3041 <= code <= 0x30FF or 0xA640 <= code <= 0xD7FF or 0x1F000 <= code <= 0x1FAFF else ""


def tokens(text: str) -> list[str]:
    """Runs of letters, single Han characters, single marks. Only A … Z are made small."""
    found: list[str] = []
    joins = False
    for letter in text:
        kind = kind_of(letter)
        lower = letter.lower() if letter.isascii() else letter
        if kind == "letter" and joins:
            found[-1] += lower
        elif kind:
            found.append(lower)
        joins = kind == "letter"
    return found


def hashed(text: str, buckets: int, max_tokens: int) -> list[int]:
    """word, pair, word, pair, …, word: each in 1 … buckets."""
    codes = [int(murmurhash3_32(token.encode(), seed=0, positive=True)) for token in tokens(text)[:max_tokens]]
    entries: list[int] = []
    for i, code in enumerate(codes):
        entries.append(code % buckets + 1)
        if i + 1 < len(codes):
            entries.append((code * 1_000_003 + codes[i + 1]) % buckets + 1)
    return entries


def unpadded(row: np.ndarray) -> list[int]:
    """A row's entries; what stands behind the last one must be 0."""
    live = np.flatnonzero(row)
    return row[: live[-1] + 1].tolist() if len(live) else []


scripts = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.sampled_from(" \t\nabcXYZ019!$?€.-'東京ßÉПрив가👍🏽׳ㄱ々\u0301\u2028\x02"),
    ),
    max_size=30,
)


@few
@given(texts=st.lists(scripts, min_size=1, max_size=6), buckets=st.sampled_from([16, 65_536]), most=st.integers(1, 5))
@example(texts=["", " ", "\n\t"], buckets=16, most=1)
@example(texts=["東京タワー3丁目 Tower!!", "👍🏽👍 ok", "Ünïcode É é", "a", ""], buckets=65_536, most=5)
def test_words_and_pairs_are_hashed_as_sklearn_hashes_them(texts, buckets, most):
    found = encoded({"type": "text"}, [], texts, buckets=buckets, max_tokens=most)
    assert [unpadded(row) for row in found] == [hashed(text, buckets, most) for text in texts]


def test_these_texts_give_exactly_these_tokens():
    assert tokens("Don't PAY 100%... £5!") == ["don", "t", "pay", "100", "%", "£", "5", "!"]
    assert tokens("東京タワー Tower") == ["東", "京", "タワー", "tower"]
    assert tokens("É é STRASSE straße") == ["É", "é", "strasse", "straße"]
    assert tokens(" \n\t … — ") == []


def test_twenty_thousand_words_are_hashed_up_to_the_limit():
    text = " ".join(f"w{i}" for i in range(20_000))
    found = encoded({"type": "text", "max_chars": 200_000}, [], [text, "short"], buckets=65_536, max_tokens=512)
    assert found.shape == (2, 1024)
    assert [unpadded(row) for row in found] == [hashed(text, 65_536, 512), hashed("short", 65_536, 512)]
    whole = encoded({"type": "text", "max_chars": 200_000}, [], [text], buckets=65_536, max_tokens=30_000)
    assert unpadded(whole[0]) == hashed(text, 65_536, 30_000)


# Pictures


def test_pictures_turn_channels_first_and_keep_every_pixel():
    rows = [bytes(range(12)), bytes(range(100, 112)), None]
    found = encoded({"type": "image", "height": 2, "width": 2, "channels": 3}, rows[:2], rows)
    assert found.shape == (3, 3, 2, 2)
    assert found[0].tolist() == [[[0, 3], [6, 9]], [[1, 4], [7, 10]], [[2, 5], [8, 11]]]
    assert not found[2].any()


@few
@given(pixels=st.lists(st.binary(min_size=12, max_size=12), min_size=1, max_size=5))
def test_pixel_statistics_are_those_of_training(pixels):
    encoder, _, _ = fitted({"type": "image", "height": 3, "width": 4, "channels": 1}, pixels)
    levels = np.frombuffer(b"".join(pixels), np.uint8) / 255
    (spec,) = encoder.specs
    assert spec.mean == pytest.approx(levels.mean())
    assert spec.std == pytest.approx(levels.std() if len(set(levels)) > 1 else 1.0)


def test_a_picture_column_of_one_level_has_no_tiny_spread():
    column = declare("t.columns.c", {"type": "image", "height": 2, "width": 2, "channels": 1})
    for level in range(256):
        state = module_of(column).fit(column, None, pa.array([bytes([level] * 4)] * 3, pa.binary(4)))
        assert state["std"] == 1.0
