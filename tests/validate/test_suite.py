"""Each expectation has a table that meets it and a corruption that breaks it, and only it."""

from datetime import datetime

import pyarrow as pa
import pytest
from validate_shop import DAY, DECLARED, SECTION, SOUND, broken, contract, table

from stages.contract.loader import declare, seam
from stages.core.errors import ContractError
from stages.validate import check
from stages.validate.expectations import exception_of
from stages.validate.report import explain, headline, verdict
from stages.validate.section import Section
from stages.validate.suite import derive_suite


def test_the_suite_that_follows_from_the_contract():
    found = derive_suite(contract().columns, Section.model_validate(SECTION))
    assert [str((item["type"].removeprefix("expect_"), *item["kwargs"].values())) for item in found] == [
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
        "('column_to_exist', 'at')",
        "('column_values_to_not_be_null', 'at', 0.5)",
        f"('column_values_to_be_between', 'at', {datetime(2020, 1, 1)!r}, {datetime(2020, 12, 31)!r})",
        "('column_to_exist', 'seen')",
        "('column_values_to_not_be_null', 'seen', 0.5)",
        "('column_values_to_match_regex', 'who', '^c[0-9]+$')",
    ]


HEARD = {
    "heard": {"type": "audio", "rate": 4000, "seconds": 0.01},
    "bought": {"type": "items"},
    "colour": DECLARED["colour"],
}


def test_every_column_type_is_in_these_tables():
    types = {column.type for each in (DECLARED, HEARD) for column in contract(columns=each).columns.values()}
    assert types == set(seam("columns"))


@pytest.mark.parametrize(("sound", "passed"), [(bytes(80), True), (bytes(78), False)])
def test_sounds_have_one_size_and_lists_may_be_of_any(shop, sound, passed):
    held = pa.table(
        {
            "heard": pa.array([bytes(80)] * 9 + [sound], pa.binary()),
            "bought": pa.array([["a"], ["a", "b"], None, []] + [["c"]] * 6, pa.list_(pa.string())),
            "colour": ["red", "blue"] * 5,
        }
    )
    report = shop.validate(held, section={"max_missing": {"default": 0.5}}, columns=HEARD)
    assert report["passed"] is passed
    assert [reason for reason in report["reasons"] if "heard" not in reason] == []


def test_a_sound_table_meets_all_and_each_result_says_how_it_was_computed(shop):
    report = shop.validate(table())
    assert report["reasons"] == []
    assert report["passed"]
    ways = [(result["from"], result["computed"]) for result in report["results"]]
    assert ways.count(("user", "chunks")) == 1
    assert ways.count(("contract", "arrow")) == 10  # the row count, eight columns that exist, the classes
    assert ways.count(("contract", "chunks")) == 14
    assert len(ways) == 25


FRESH = {"column": "at", "max_age_days": 3, "as_of": "2020-06-10"}
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
        {"colour": ["red"] * 4 + ["blue"] * 4 + [None, None]},
        ("column_values_to_not_be_null", "colour"),
    ),
    "six booleans missing": (
        {"paid": [None] * 6 + [True, False, True, True]},
        ("column_values_to_not_be_null", "paid"),
    ),
    "six texts missing": ({"note": [None] * 6 + ["a"] * 4}, ("column_values_to_not_be_null", "note")),
    "six pictures missing": ({"photo": [None] * 6 + [b"ab"] * 4}, ("column_values_to_not_be_null", "photo")),
    "six times missing": ({"at": [None] * 5 + SOUND["at"][5:]}, ("column_values_to_not_be_null", "at")),
    "six other times missing": ({"seen": [None] * 6 + SOUND["seen"][6:]}, ("column_values_to_not_be_null", "seen")),
    "a number below": ({"amount": [-1e-9, *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "a number above": ({"amount": [10.000001, *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "an infinite number": ({"amount": [float("inf"), *SOUND["amount"][1:]]}, ("column_values_to_be_between", "amount")),
    "a colour not declared": (
        {"colour": ["red"] * 4 + ["blue"] * 3 + ["Red", "Red", None]},
        ("column_values_to_be_in_set", "colour"),
    ),
    "a text too long": ({"note": ["sixsix", *SOUND["note"][1:]]}, ("column_value_lengths_to_be_between", "note")),
    "a picture of another size": ({"photo": [b"abc", *SOUND["photo"][1:]]}, ("column_values_to_be_between", "photo")),
    "a time too early": ({"at": [datetime(2019, 12, 31), *SOUND["at"][1:]]}, ("column_values_to_be_between", "at")),
    "a time of the year 1": ({"at": [datetime(1, 1, 1), *SOUND["at"][1:]]}, ("column_values_to_be_between", "at")),
    "against the user's pattern": ({"who": ["x1", *SOUND["who"][1:]]}, ("column_values_to_match_regex", "who")),
    "one class alone": ({"colour": ["red"] * 9 + [None]}, ("class_shares_at_least", "colour")),
    "a rare class": ({"colour": ["red"] * 8 + ["blue", None]}, ("class_shares_at_least", "colour")),
    "nothing new for four days": (
        {"at": [min(moment, DAY) if moment else None for moment in SOUND["at"]]},
        ("newest_value_at_most_so_old", "at"),
    ),
}


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("cut", [10, 4], ids=["one part", "two parts"])
def test_a_corruption_breaks_one_expectation_alone(kind, cut, shop):
    changed, expected = BREAKS[kind]
    whole = table(**changed)
    pieces = [whole] if cut == 10 else [whole.slice(0, cut), whole.slice(cut)]
    report = shop.validate(*pieces, section={**SECTION, "freshness": FRESH})
    assert broken(report) == [expected]
    assert not report["passed"]
    assert len(report["reasons"]) == 1


def test_a_boolean_that_is_a_word_breaks_its_set_alone(shop):
    words = ["yes" if value else "no" for value in SOUND["paid"]]
    changed = table().drop(["paid"]).append_column("paid", [words])
    assert broken(shop.validate(changed)) == [("column_values_to_be_in_set", "paid")]


def test_a_column_that_is_absent_fails_and_what_cannot_be_checked_counts_as_failed(shop):
    report = shop.validate(table().drop(["note"]))
    failed = [result for result in report["results"] if not result["success"]]
    assert [(result["type"], result["kwargs"]["column"]) for result in failed] == [
        ("expect_column_to_exist", "note"),
        ("expect_column_values_to_not_be_null", "note"),
        ("expect_column_value_lengths_to_be_between", "note"),
    ]
    assert sum("error" in result for result in failed) == 2
    assert not report["passed"]


def own(kind, **kwargs):
    return {**SECTION, "expect": [{kind: kwargs}]}


@pytest.mark.parametrize("row", [0, 9], ids=["in the first part", "in the last"])
def test_an_expectation_that_raises_on_any_chunk_is_a_failure_with_its_error(shop, row):
    whole = table()
    section = own("expect_column_values_to_match_regex", column="who", regex="(")
    report = shop.validate(whole.slice(0, row), whole.slice(row), section=section)
    assert broken(report) == [("column_values_to_match_regex", "who")]
    (failed,) = [result for result in report["results"] if not result["success"]]
    assert failed["error"]
    assert failed["from"] == "user"
    assert failed["error"] in report["reasons"][0]


def test_a_warning_is_reported_and_refuses_nothing(shop):
    section = own("expect_column_values_to_match_regex", column="who", regex="^d", severity="warn")
    report = shop.validate(table(), section=section)
    assert broken(report) == [("column_values_to_match_regex", "who")]
    assert report["passed"]
    assert report["reasons"] == []
    assert len(report["warnings"]) == 1
    assert headline(report).startswith("25 expectations, none refuses; 1 warnings: expect_column_values_to_match_regex")
    report = shop.validate(table(who=["c"] * 10), section=section)  # a failure beside it still refuses
    assert report["passed"]
    assert not shop.validate(table(who=[None] * 10), section=section)["passed"]


def test_the_same_expectation_twice_is_answered_twice(shop):
    asked = [{"expect_column_values_to_match_regex": {"column": "who", "regex": "^d"}}] * 2
    assert (
        broken(shop.validate(table(), section={**SECTION, "expect": asked}))
        == [("column_values_to_match_regex", "who")] * 2
    )


def test_a_severity_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="severity fail or warn for expect_a, not 'mild'"):
        Section.model_validate({"expect": [{"expect_a": {"severity": "mild"}}]})


def test_a_wrong_name_is_a_contract_error_with_a_suggestion(shop):
    with pytest.raises(ContractError) as caught:
        shop.validate(table(), section=own("expect_column_value_to_be_between", column="amount"))
    assert "shop.validate.expect: 'expect_column_value_to_be_between' is not a Great Expectations name" in str(
        caught.value
    )
    assert "Did you mean 'expect_column_values_to_be_between'?" in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"column": "amount", "minimum": 1}, {"min_value": 1}, {"column": "amount", "mostly": 2.0}, {"column": 3}],
    ids=["unknown", "no column", "a share above 1", "a column that is a number"],
)
def test_wrong_arguments_are_a_contract_error(shop, arguments):
    with pytest.raises(
        ContractError, match=r"shop\.validate\.expect: expect_column_values_to_be_between does not take"
    ):
        shop.validate(table(), section=own("expect_column_values_to_be_between", **arguments))


def test_a_user_expectation_is_one_name_an_item():
    with pytest.raises(ValueError, match="one name an item"):
        Section.model_validate({"expect": [{"expect_a": {}, "expect_b": {}}]})


def test_nothing_checked_is_not_passed():
    assert verdict([]) == {"passed": False, "reasons": ["no expectation was checked"], "warnings": [], "results": []}


def test_an_empty_table_is_not_passed_even_where_nothing_is_asked(shop):
    report = shop.validate(table().slice(0, 0), section={})
    assert not report["passed"]
    assert ("table_row_count_to_be_between", "") in broken(report)


def test_no_part_at_all_is_not_passed(shop):
    report = shop.validate()
    assert report["reasons"] == ["part_is_sound(part=table): found has no part"]


def test_a_part_that_cannot_be_read_is_a_failure_that_names_it(shop):
    shop.validate(table())
    part = shop.root / "clean" / "table" / "0001.parquet"
    part.write_bytes(b"PAR1 not at all")
    report = shop_again(shop)
    assert not report["passed"]
    assert "part_is_sound(part=0001.parquet): found cannot be read as Parquet" in report["reasons"][0]


def test_a_part_whose_pages_are_damaged_is_a_failure_that_names_it(shop):
    shop.validate(table())
    part = shop.root / "clean" / "table" / "0000.parquet"
    content = bytearray(part.read_bytes())
    content[4:200] = bytes(196)  # the footer stays
    part.write_bytes(bytes(content))
    report = shop_again(shop)
    assert broken(report)[0] == ("part_is_sound", "")
    assert not report["passed"]


def test_a_part_with_other_columns_is_a_failure_that_names_it(shop):
    report = shop.validate(table(), table().drop(["note"]))
    assert broken(report) == [("part_is_sound", "")]
    assert "0001.parquet" in report["reasons"][0]


def shop_again(shop):
    from stages.validate import validate

    return validate(shop.root / "clean", contract(), shop.sources, shop.out)


def test_exceptions_are_found_in_both_shapes():
    inner = {"raised_exception": True, "exception_message": "m"}
    assert exception_of(inner) == "m"
    assert exception_of({"('metric', 'id')": inner, "note": "text"}) == "m"
    assert exception_of({"raised_exception": False}) is None
    assert exception_of({}) is None


def test_explain_shows_three_values_at_most():
    observed = {"unexpected_count": 4, "partial_unexpected_list": [1, 2, 3, 4]}
    result = {"type": "expect_x", "kwargs": {"column": "a"}, "observed": observed}
    assert explain(result) == "expect_x(column=a): found unexpected_count 4, such as [1, 2, 3]"


def with_section(**changed):
    return contract({**SECTION, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"max_missing": {"amuont": 0.1}},
            "shop.validate.max_missing.amuont is not a declared column. Did you mean 'amount'?",
        ),
        (
            {"drift": {"columns": {"amuont": {"psi": 0.1}}}},
            "shop.validate.drift.columns.amuont is not a declared column",
        ),
        ({"drift": {"columns": {"colour": {"ks": 0.1}}}}, "a category has no order"),
        ({"drift": {"default": {}}}, "at least one limit"),
        ({"freshness": {**FRESH, "column": "note"}}, "freshness.column is a text; expected a timestamp: at, seen"),
        ({"freshness": {**FRESH, "as_of": "yesterday"}}, "now, data, or a date"),
    ],
)
def test_what_the_section_cannot_mean_is_told_before_anything_runs(changed, said):
    with pytest.raises(ContractError) as caught:
        check(with_section(**changed))
    assert said in str(caught.value)


def test_data_is_no_moment_where_no_other_timestamp_is():
    columns = {"at": {"type": "timestamp"}, "colour": {"type": "category"}}
    with pytest.raises(ContractError, match="at is the only timestamp"):
        check(contract({"freshness": {**FRESH, "as_of": "data"}}, columns))


def test_drift_of_a_personal_column_is_refused():
    columns = {"colour": {"type": "category", "personal": True}}
    assert declare("shop.columns.colour", columns["colour"]).personal
    with pytest.raises(ContractError, match="the column is personal"):
        check(contract({"drift": {"columns": {"colour": {"psi": 0.1}}}}, columns))
