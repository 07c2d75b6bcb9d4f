"""Each expectation has a table that meets it and a corruption that breaks it, and only it."""

import pandas as pd
import pyarrow as pa
import pytest

from stages.contract.loader import declare
from stages.core.errors import ContractError
from stages.validate import (
    Section,
    check_classes,
    check_rejects,
    derive_suite,
    exceptions,
    expectation,
    explain,
    run_suite,
    to_frame,
    verdict,
)

DECLARED = {
    "who": {"type": "id", "required": True},
    "amount": {"type": "number", "min": 0, "max": 10},
    "colour": {"type": "category", "values": ["red", "blue"]},
    "paid": {"type": "boolean"},
    "note": {"type": "text", "max_chars": 5},
    "photo": {"type": "image", "height": 1, "width": 2, "channels": 1},
}
COLUMNS = {name: declare(name, raw) for name, raw in DECLARED.items()}
SECTION = Section.model_validate(
    {
        "rows": {"min": 10, "max": 12},
        "max_missing": {"default": 0.5, "colour": 0.1},
        "expect": [{"expect_column_values_to_match_regex": {"column": "who", "regex": "^c[0-9]+$"}}],
    }
)
KINDS = {
    "who": pa.string(),
    "amount": pa.float64(),
    "colour": pa.string(),
    "paid": pa.bool_(),
    "note": pa.string(),
    "photo": pa.binary(),
}
SOUND = {
    "who": [f"c{i}" for i in range(10)],
    "amount": [0.0, 10.0, 5.0, None, None, None, None, None, 1.0, 2.0],
    "colour": ["red"] * 8 + ["blue", None],
    "paid": [True, False, None, True, False, None, True, False, None, True],
    "note": ["", "short", "日本語です", None, "a", "b", "c", "d", "e", "f"],
    "photo": [b"ab"] * 9 + [None],
}


def table(**changed: list) -> pa.Table:
    return pa.table({name: pa.array(values, KINDS[name]) for name, values in {**SOUND, **changed}.items()})


def results(frame: pd.DataFrame) -> list[dict]:
    return run_suite(derive_suite(COLUMNS, SECTION), frame, "shop.validate")


def failures(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(expectation, column) of each that failed."""
    failed = [result for result in results(frame) if not result["success"]]
    return [(result["type"].removeprefix("expect_"), result["kwargs"].get("column", "")) for result in failed]


def test_the_suite_that_follows_from_the_contract():
    found = [
        (item["type"].removeprefix("expect_"), *item["kwargs"].values()) for item in derive_suite(COLUMNS, SECTION)
    ]
    assert [str(item) for item in found] == [
        "('table_row_count_to_be_between', 10, 12)",
        "('column_to_exist', 'who')",
        "('column_values_to_not_be_null', 'who', 1.0)",
        "('column_to_exist', 'amount')",
        "('column_values_to_not_be_null', 'amount', 0.5)",
        "('column_values_to_be_between', 'amount', 0.0, 10.0)",
        "('column_to_exist', 'colour')",
        "('column_values_to_not_be_null', 'colour', 0.9)",
        "('column_values_to_be_in_set', 'colour', ['red', 'blue'])",
        "('column_to_exist', 'paid')",
        "('column_values_to_not_be_null', 'paid', 0.5)",
        "('column_values_to_be_in_set', 'paid', [True, False])",
        "('column_to_exist', 'note')",
        "('column_values_to_not_be_null', 'note', 0.5)",
        "('column_value_lengths_to_be_between', 'note', 5)",
        "('column_to_exist', 'photo')",
        "('column_values_to_not_be_null', 'photo', 0.5)",
        "('column_values_to_be_between', 'photo', 2, 2)",
        "('column_values_to_match_regex', 'who', '^c[0-9]+$')",
    ]


def test_a_sound_table_meets_all_and_each_result_says_where_it_comes_from():
    found = results(to_frame(table(), COLUMNS))
    assert verdict(found)["reasons"] == []
    assert verdict(found)["passed"]
    assert len(found) == 19
    assert [result["from"] for result in found].count("user") == 1


BREAKS = {  # what is wrong: (changed columns, what alone fails)
    "nine rows": (
        {**{name: values[:9] for name, values in SOUND.items()}, "amount": SOUND["amount"][:3] + SOUND["amount"][4:]},
        ("table_row_count_to_be_between", ""),
    ),
    "thirteen rows": (
        {name: values[:3] + values[:3] + values[3:] for name, values in SOUND.items()},
        ("table_row_count_to_be_between", ""),
    ),
    "a required value missing": ({"who": [None, *SOUND["who"][1:]]}, ("column_values_to_not_be_null", "who")),
    "six of ten numbers missing": (
        {"amount": [None, *SOUND["amount"][1:]]},
        ("column_values_to_not_be_null", "amount"),
    ),
    "two of ten colours missing, one allowed": (
        {"colour": ["red"] * 8 + [None, None]},
        ("column_values_to_not_be_null", "colour"),
    ),
    "a number below": ({"amount": [-1e-9, *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "a number above": ({"amount": [10.000001, *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "an infinite number": ({"amount": [float("inf"), *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "a colour not declared": ({"colour": ["Red", *SOUND["colour"][1:]]}, ("column_values_to_be_in_set", "colour")),
    "a text too long": ({"note": ["sixsix", *SOUND["note"][1:]]}, ("column_value_lengths_to_be_between", "note")),
    "a picture of another size": ({"photo": [b"abc", *SOUND["photo"][1:]]}, ("column_values_to_be_between", "photo")),
    "against the user's pattern": ({"who": ["x1", *SOUND["who"][1:]]}, ("column_values_to_match_regex", "who")),
}


@pytest.mark.parametrize("kind", BREAKS)
def test_a_corruption_breaks_one_expectation_alone(kind):
    changed, expected = BREAKS[kind]
    assert failures(to_frame(table(**changed), COLUMNS)) == [expected]


def test_a_boolean_that_is_a_word_breaks_its_set_alone():
    frame = to_frame(table(), COLUMNS)
    frame["paid"] = frame["paid"].astype(object)
    frame.loc[0, "paid"] = "yes"
    assert failures(frame) == [("column_values_to_be_in_set", "paid")]


def test_a_column_that_is_absent_fails_and_what_cannot_be_checked_counts_as_failed():
    found = results(to_frame(table(), COLUMNS).drop(columns="note"))
    failed = [result for result in found if not result["success"]]
    assert {(result["type"], result["kwargs"]["column"]) for result in failed} == {
        ("expect_column_to_exist", "note"),
        ("expect_column_values_to_not_be_null", "note"),
        ("expect_column_value_lengths_to_be_between", "note"),
    }
    assert sum("error" in result for result in failed) == 2
    assert not verdict(found)["passed"]


def test_an_expectation_that_raises_is_a_failure_with_its_error():
    check = expectation("expect_column_values_to_match_regex", {"column": "who", "regex": "("}, "user")
    (found,) = run_suite([check], to_frame(table(), COLUMNS), "shop.validate")
    assert not found["success"]
    assert found["error"]
    assert found["from"] == "user"
    assert found["error"] in verdict([found])["reasons"][0]


def test_a_wrong_name_is_a_contract_error_with_a_suggestion():
    check = expectation("expect_column_value_to_be_between", {"column": "amount"}, "user")
    with pytest.raises(ContractError) as caught:
        run_suite([check], to_frame(table(), COLUMNS), "shop.validate")
    assert "shop.validate.expect: 'expect_column_value_to_be_between' is not a Great Expectations name" in str(
        caught.value
    )
    assert "Did you mean 'expect_column_values_to_be_between'?" in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"column": "amount", "minimum": 1}, {"min_value": 1}, {"column": "amount", "mostly": 2.0}, {"column": 3}],
    ids=["unknown", "no column", "a share above 1", "a column that is a number"],
)
def test_wrong_arguments_are_a_contract_error(arguments):
    check = expectation("expect_column_values_to_be_between", arguments, "user")
    with pytest.raises(
        ContractError, match=r"shop\.validate\.expect: expect_column_values_to_be_between does not take"
    ):
        run_suite([check], to_frame(table(), COLUMNS), "shop.validate")


def test_a_user_expectation_is_one_name_an_item():
    with pytest.raises(ValueError, match="one name an item"):
        Section.model_validate({"expect": [{"expect_a": {}, "expect_b": {}}]})


def test_nothing_checked_is_not_passed():
    assert verdict([]) == {"passed": False, "reasons": ["no expectation was checked"], "results": []}


def test_one_failure_among_many_is_not_passed():
    good, bad = check_classes({"a": 1, "b": 1}, "y", 0.1), check_classes({"a": 1}, "y", 0.1)
    found = verdict([good, bad, good])
    assert not found["passed"]
    assert found["reasons"] == ["class_shares_at_least(column=y, share=0.1): found shares {'a': 1.0}"]


def test_exceptions_are_found_in_both_shapes():
    inner = {"raised_exception": True, "exception_message": "m"}
    assert exceptions(inner) == [inner]
    assert exceptions({"('metric', 'id')": inner, "note": "text"}) == [inner]
    assert exceptions({}) == []


def test_explain_shows_three_values_at_most():
    observed = {"unexpected_count": 4, "partial_unexpected_list": [1, 2, 3, 4]}
    result = {"type": "expect_x", "kwargs": {"column": "a"}, "observed": observed}
    assert explain(result) == "expect_x(column=a): found unexpected_count 4, such as [1, 2, 3]"


@pytest.mark.parametrize(
    ("count", "limits", "success"),
    [
        (10, {"default": 0.1}, True),  # exactly at the limit
        (11, {"default": 0.1}, False),
        (11, {"default": 0.1, "amount.number": 0.11}, True),
        (1, {"default": 1.0, "amount.number": 0.0}, False),
        (0, {"default": 0.0}, True),
    ],
)
def test_rejects_at_the_limit_pass_and_above_it_do_not(count, limits, success):
    report = {"records": 100, "rules": {"amount.number": count}, "max_rejected": limits}
    (found,) = check_rejects(report)
    assert found["success"] is success
    assert found["observed"] == {"rejected": count, "share": count / 100}


def test_a_limit_on_a_rule_that_rejected_nothing_is_listed_as_met():
    report = {"records": 10, "rules": {"a.min": 9}, "max_rejected": {"default": 0.5, "b.max": 0.2}}
    assert [(item["kwargs"], item["success"]) for item in check_rejects(report)] == [
        ({"rule": "b.max", "share": 0.2}, True),
        ({"rule": "a.min", "share": 0.5}, False),
    ]


@pytest.mark.parametrize(
    ("counts", "success"),
    [
        ({"yes": 5, "no": 95}, True),  # exactly the least share
        ({"yes": 4, "no": 96}, False),
        ({"yes": 100}, False),
        ({}, False),
        ({True: 50, False: 50}, True),
        ({"a": 48, "b": 48, "c": 4}, False),
    ],
)
def test_classes_one_alone_or_a_rare_one_fails(counts, success):
    assert check_classes(counts, "y", 0.05)["success"] is success
