"""Lists of ids: what is parsed, and the numbers that the drawn graph gives them, against plain Python."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.prepare import parse, to_array
from serving.values import Problem
from stages.columns import encode, feature_options, fit, items
from stages.contract.loader import declare
from stages.duplicates.rows import hash_rows

KINDS = st.sampled_from(["tokens", "set"])
LISTS = pa.list_(pa.string())
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4)
rows = st.lists(st.one_of(st.none(), st.lists(st.one_of(words, st.sampled_from("abcd")), max_size=6)), max_size=8)


def column(**declared):
    return declare("shop.columns.c", {"type": "items", **declared})


def describe(**declared):
    return column(**declared).describe("c")


def encoded(train, values, vocabularies=None, **features):
    columns = {"c": column()}
    options = feature_options(columns, {}, {"c": features}, "shop.features")
    encoder = fit(columns, options, pa.table({"c": pa.array(train, LISTS)}), vocabularies)
    (array,) = encode(encoder, columns, pa.table({"c": pa.array(values, LISTS)})).values()
    return encoder, array


@settings(max_examples=60, deadline=None)
@given(train=rows, values=rows, least=st.integers(1, 3), most=st.integers(1, 5), kind=KINDS)
def test_ids_are_numbered_by_how_many_rows_hold_them_then_by_name(train, values, least, most, kind):
    counts = Counter(word for row in train for word in set(row or ()))
    kept = sorted((w for w in counts if counts[w] >= least), key=lambda w: (-counts[w], w))[:most]
    encoder, found = encoded(train, values, min_count=least, max_values=most, kind=kind)
    assert (encoder.specs[0].kind, encoder.specs[0].size) == (kind, len(kept) + 2)
    number = {word: place for place, word in enumerate(kept, 2)}
    width = max([1, *(len(row or ()) for row in values)])
    expected = [[number.get(word, 1) for word in row or ()] for row in values]
    assert found.tolist() == [row + [0] * (width - len(row)) for row in expected]
    assert found.shape == (len(values), width)


def test_a_given_vocabulary_takes_the_place_of_what_training_holds():
    encoder, found = encoded([["a", "b"], ["a"]], [["b", "z", "a"]], {"c": ["z", "b"]})
    assert encoder.state["c"]["vocabulary"] == ["z", "b"]
    assert found.tolist() == [[3, 2, 1]]


def test_a_columns_order_decides_where_features_do_not():
    for order, kind in (("sequence", "tokens"), ("set", "set")):
        assert items.fit(column(order=order), items.Features(), pa.array([["a"]], LISTS))["kind"] == kind


@pytest.mark.parametrize(
    ("declared", "raw", "parsed"),
    [
        ({}, ["b", " a ", None, "", "NA", float("nan")], ["b", "a"]),
        ({}, [17850, 17850.0, 2.5, True], ["17850", "17850", "2.5", "true"]),
        ({}, np.array(["x", "y"]), ["x", "y"]),
        ({}, ("x",), ["x"]),
        ({}, '["a", 2]', ["a", "2"]),
        ({}, [], []),
        ({}, None, None),
        ({}, "NA", None),
        ({"separator": " "}, " a  b a ", ["a", "b", "a"]),
        ({"separator": ", "}, "a, b,c", ["a", "b,c"]),
        ({"separator": "|"}, '["a"]', ['["a"]']),
        ({"max_items": 2}, ["a", "b", "c"], ["b", "c"]),
        ({"order": "set"}, ["a", "b", "a", "c"], ["b", "a", "c"]),
        ({"order": "set", "max_items": 2}, ["a", "b", "b", "b"], ["a", "b"]),
        ({"missing": ["-"]}, ["-", "NA", ""], ["NA"]),
        ({}, ["e\u0301"], ["é"]),
    ],
)
def test_lists_are_parsed(declared, raw, parsed):
    assert parse(describe(**declared), raw) == parsed


@pytest.mark.parametrize(
    ("declared", "raw", "told"),
    [
        ({}, "a b", 'c "a b" is not a list of ids; text needs a separator, or to be a JSON list'),
        ({}, '{"a": 1}', "is not a list of ids"),
        ({}, 3.5, "is not a list of ids"),
        ({"separator": " "}, 3.5, 'c "3.5" is not a list of ids'),
        ({}, [["a"]], "is not a list of ids"),
        ({}, "[" * 100_000, "is not a list of ids"),
        ({"pattern": "[a-z]"}, ["a", "B"], 'c "B" does not match'),
        ({"personal": True, "pattern": "[a-z]"}, ["Bob"], 'c "•••" breaks its rule pattern'),
        ({"required": True}, "", "c is missing"),
    ],
)
def test_what_is_no_list_is_named(declared, raw, told):
    with pytest.raises(Problem) as caught:
        parse(describe(**declared), raw)
    assert told in str(caught.value)
    assert "Bob" not in str(caught.value)


def test_a_matrix_is_as_wide_as_the_longest_list_and_never_of_no_width():
    assert to_array(describe(), [["a", "b"], None, []]).tolist() == [["a", "b"], ["", ""], ["", ""]]
    assert to_array(describe(), []).shape == (0, 1)


@settings(max_examples=40, deadline=None)
@given(values=rows)
def test_two_rows_have_equal_hashes_where_their_lists_are_equal(values):
    hashed = hash_rows(pa.table({"c": pa.array(values, LISTS)}), ["c"])
    for one, first in enumerate(values):
        for two, second in enumerate(values):
            assert (hashed[one] == hashed[two]).all() == (first == second)


def test_a_slice_of_lists_hashes_as_its_rows_do():
    table = pa.table({"c": pa.array([["a"], ["b", "c"], None, [], ["a"]], LISTS)})
    np.testing.assert_array_equal(hash_rows(table.slice(1, 3), ["c"]), hash_rows(table, ["c"])[1:4])
    swapped = hash_rows(pa.table({"c": pa.array([["a", "b"], ["b", "a"], ["ab"], [""]], LISTS)}), ["c"])
    assert len(np.unique(swapped[:, 0])) == 4
