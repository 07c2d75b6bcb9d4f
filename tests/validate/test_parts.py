"""Parts from the store give the same bytes as parts read anew; broken rows are kept, and what is personal is not."""

import json
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validate_shop import DECLARED, SECTION, SOUND, Shop, broken, contract, table

from stages.core.files import to_json
from stages.core.store import Store
from stages.validate import checks, chunks
from stages.validate.page import page
from stages.validate.section import Freshness

PIECES = [
    table(),
    table(amount=[99.0] * 10),
    table(who=["x"] * 10, note=["much too long"] * 10),
    table(photo=[None] * 10, at=[None] * 10),
    table().slice(0, 0),
    table().slice(3, 1),
]
ASKED = {
    **SECTION,
    "rows": {"min": 1},
    "expect": [
        {"expect_column_values_to_match_regex": {"column": "who", "regex": "^c[0-9]+$"}},
        {"expect_column_mean_to_be_between": {"column": "amount", "max_value": 3}},
        {"expect_column_values_to_be_unique": {"column": "who"}},
    ],
}


def everything(shop, *pieces, **given):
    report = shop.validate(*pieces, section=ASKED, **given)
    written = [(shop.out / name).read_bytes() for name in ("failing.parquet", "docs/index.html")]
    return to_json(report), page("shop", report), *written


def hold_to_full_runs(tmp_path_factory, monkeypatch, steps):
    """Each step is a table, as the places of its parts among PIECES. The first meets an empty store in any case."""
    kept = Shop(tmp_path_factory.mktemp("kept"))
    for number, step in enumerate(steps):
        pieces = [PIECES[i] for i in step]
        monkeypatch.setenv("INGOT_STORE", str(kept.root / "store"))
        found = everything(kept, *pieces)
        if number:
            fresh = Shop(tmp_path_factory.mktemp(f"fresh{number}"))
            monkeypatch.setenv("INGOT_STORE", str(fresh.root / "store"))
            assert everything(fresh, *pieces) == found


def test_added_changed_and_removed_parts_give_the_bytes_of_a_full_run(tmp_path_factory, monkeypatch):
    """Added in the middle, so that those behind it move; then the first removed, one doubled, an empty one changed."""
    hold_to_full_runs(tmp_path_factory, monkeypatch, [[0, 1, 4], [0, 2, 1, 4], [2, 1, 3, 1]])


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=4), min_size=2, max_size=3))
def test_any_parts_give_the_bytes_of_a_full_run(tmp_path_factory, monkeypatch, steps):
    hold_to_full_runs(tmp_path_factory, monkeypatch, steps)


@pytest.fixture
def examined(monkeypatch):
    """The parts that were read anew."""
    seen = []
    whole = chunks.examine_part
    monkeypatch.setattr(chunks, "examine_part", lambda path, *rest: (seen.append(path.name), whole(path, *rest))[1])
    return seen


def test_one_new_part_alone_is_read(shop, examined):
    shop.validate(*PIECES[:3])
    assert examined == ["0000.parquet", "0001.parquet", "0002.parquet"]
    examined.clear()
    shop.validate(*PIECES[:3], PIECES[3])
    assert examined == ["0003.parquet"]
    examined.clear()
    shop.validate(*PIECES[1:4])
    assert examined == []


@pytest.mark.parametrize(
    "changed",
    [
        {"section": {**SECTION, "max_missing": {"default": 0.4}}},
        {"section": {**SECTION, "failing_rows": 5}},
        {"columns": {**DECLARED, "amount": {"type": "number", "min": 1, "max": 10}}},
        {"columns": {**DECLARED, "note": {**DECLARED["note"], "personal": True}}},
    ],
    ids=["a limit", "how many rows", "a bound", "personal"],
)
def test_another_rule_reads_anew(shop, examined, changed):
    shop.validate(PIECES[0])
    examined.clear()
    shop.validate(PIECES[0], **changed)
    assert examined == ["0000.parquet"]


def test_without_its_store_the_result_is_the_same(shop):
    import shutil

    first = everything(shop, *PIECES)
    shutil.rmtree(Store().root)
    assert everything(shop, *PIECES) == first


def test_broken_rows_are_kept_with_what_they_broke_and_where_they_stood(shop):
    changed = table(who=["c0", "bad", *SOUND["who"][2:]], amount=[0.0, 11.0, *SOUND["amount"][2:]])
    report = shop.validate(table().slice(0, 5), changed.slice(0, 5))
    rows = pq.read_table(shop.out / "failing.parquet").to_pylist()
    (row,) = rows
    assert (row["_part"], row["_row"], row["who"], row["amount"]) == ("0001.parquet", 2, "bad", 11.0)
    assert row["_expectations"] == [
        "6: expect_column_values_to_be_between(amount)",
        "24: expect_column_values_to_match_regex(who)",
    ]
    assert report["failing_rows_saved"] == 1
    named = report["results"][5]
    assert (named["type"], named["kwargs"]["column"]) == ("expect_column_values_to_be_between", "amount")


def test_few_rows_are_kept_and_all_are_counted(shop):
    section = {**SECTION, "failing_rows": 4, "rows": {"min": 1}}
    pieces = [table(amount=[11.0 + i] * 10) for i in range(3)]
    report = shop.validate(*pieces, section=section)
    (failed,) = [result for result in report["results"] if not result["success"]]
    assert failed["observed"]["unexpected_count"] == 30
    assert failed["observed"]["failing_rows_saved"] == 4
    assert failed["observed"]["partial_unexpected_list"] == [11.0] * 10 + [12.0] * 10
    saved = pq.read_table(shop.out / "failing.parquet")
    assert saved.column("_row").to_pylist() == [1, 2, 3, 4]


def test_where_nothing_failed_the_file_is_empty_and_there(shop):
    shop.validate(table())
    saved = pq.read_table(shop.out / "failing.parquet")
    assert saved.num_rows == 0
    assert saved.column_names == ["_part", "_row", "_expectations", *DECLARED]


SECRET = "Ada Lovelace"


def test_a_personal_value_stands_in_no_report_no_file_and_no_line(shop, capsys):
    columns = {**DECLARED, "note": {"type": "text", "personal": True, "max_chars": 5}}
    columns["who"] = {"type": "id", "personal": True}
    about = {"column": "note"}
    section = {
        **SECTION,
        "expect": [
            {"expect_column_values_to_match_regex": {**about, "regex": "^z"}},
            {"expect_column_values_to_match_regex": {"column": "who", "regex": "^z"}},
            {"expect_column_values_to_be_unique": about},
            {"expect_column_distinct_values_to_be_in_set": {**about, "value_set": ["z"]}},
            {"expect_column_most_common_value_to_be_in_set": {**about, "value_set": ["z"]}},
            {"expect_column_min_to_be_between": {**about, "max_value": 3.0}},
            {"expect_column_values_to_be_increasing": about},
            {"expect_column_values_to_match_strftime_format": {**about, "strftime_format": "%Y"}},
            {"expect_column_values_to_match_json_schema": {**about, "json_schema": {"type": "object"}}},
            {"expect_column_pair_values_to_be_equal": {"column_A": "note", "column_B": "colour"}},
            {"expect_compound_columns_to_be_unique": {"column_list": ["note", "colour"]}},
            {"expect_select_column_values_to_be_unique_within_record": {"column_list": ["note", "who"]}},
            {"expect_column_mean_to_be_between": {**about, "max_value": 1}},
        ],
    }
    held = table(note=[SECRET] * 9 + [None], who=[SECRET] * 10)
    report = shop.validate(held, columns=columns, section=section)
    assert len(broken(report)) > 10
    everywhere = to_json(report) + page("shop", report) + "".join(capsys.readouterr())
    assert "Lovelace" not in everywhere
    for path in [*shop.root.glob("out/*.*"), *shop.root.glob("out/docs/*"), *Store().root.rglob("*.json")]:
        assert b"Lovelace" not in path.read_bytes(), path
    saved = pq.read_table(shop.out / "failing.parquet")
    assert saved.column("note").to_pylist() == ["•••"] * 9 + [None]
    assert set(saved.column("colour").to_pylist()) == {"red", "blue", None}
    assert "•••" in everywhere


def test_the_page_needs_no_network_and_escapes_what_comes_from_data(shop):
    report = shop.validate(table(who=["<script>alert(1)</script>"] * 10))
    text = page("shop", report)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text
    assert "prefers-color-scheme:dark" in text
    assert "Not passed" in text
    assert "<b>who</b> values to match regex" in text
    assert "10 of 10 rows unexpected (100%)" in text


def test_no_time_and_no_path_is_in_what_is_written(shop, tmp_path):
    report, html, _, docs = everything(shop, *PIECES)
    text = report + html + docs.decode()
    assert str(tmp_path) not in text
    assert str(datetime.now(tz=timezone.utc).year) not in text


def test_data_docs_show_what_great_expectations_would(shop):
    shop.validate(table(amount=[11.0] * 10), table(who=[None] * 10), section={**ASKED, "expect": ASKED["expect"][:2]})
    docs = (shop.out / "docs" / "index.html").read_text()
    assert "values must be greater than or equal to" in docs
    assert "10 unexpected values found" in docs
    assert "logo-long" not in docs


def fresh(as_of, newest="2020-06-09T00:00:00", now=None, other=None):
    columns = {"at": {"present": 1, "max": newest}, "seen": {"present": 1, "max": other}, "amount": {"max": 3.0}}
    freshness = Freshness.model_validate({"column": "at", "max_age_days": 3, "as_of": as_of})
    return checks.check_freshness(freshness, {"columns": columns}, {}, now)


@pytest.mark.parametrize(
    ("as_of", "now", "other", "age", "success"),
    [
        ("2020-06-12", None, None, 3.0, True),
        ("2020-06-12T00:00:01", None, None, 3.0, False),
        ("2020-06-08", None, None, -1.0, False),  # newer than the moment itself: a wrong clock somewhere
        ("now", "2020-06-10T12:00:00+02:00", None, 1.417, True),
        ("now", "2020-07-01", None, 22.0, False),
        ("data", None, "2020-06-10T00:00:00", 1.0, True),
        ("data", None, "2020-06-30T00:00:00", 21.0, False),
    ],
)
def test_the_age_of_the_newest_value(as_of, now, other, age, success):
    found = fresh(as_of, now=now, other=other)
    assert (found["success"], round(found["observed"]["age_days"], 3)) == (success, age)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"as_of": "now"}, "INGOT_NOW is not set"),
        ({"as_of": "now", "now": "soon"}, "INGOT_NOW is 'soon'"),
        ({"as_of": "data"}, "no other timestamp column has a value"),
        ({"as_of": "2020-06-10", "newest": None}, "at has no value"),
    ],
)
def test_freshness_that_cannot_be_told_is_not_met(given, said):
    found = fresh(**given)
    assert not found["success"]
    assert said in found["error"]


def test_now_is_what_the_environment_says(shop, monkeypatch):
    section = {**SECTION, "freshness": {"column": "seen", "max_age_days": 3, "as_of": "now"}}
    assert "INGOT_NOW is not set" in shop.validate(table(), section=section)["reasons"][0]
    monkeypatch.setenv("INGOT_NOW", "2020-06-11")
    report = shop.validate(table(), section=section)
    assert report["passed"]
    assert report["results"][-1]["observed"]["as_of"] == "2020-06-11T00:00:00"


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
def test_rejects_at_the_limit_pass_and_above_it_do_not(shop, count, limits, success):
    given = {"records": 100, "rules": {"amount.number": count}, "max_rejected": limits}
    (found,) = checks.check_rejects(given)
    assert found["success"] is success
    assert found["observed"] == {"rejected": count, "share": count / 100}
    assert broken(shop.validate(table(), report=given)) == ([] if success else [("reject_share_at_most", "")])


def test_a_limit_on_a_rule_that_rejected_nothing_is_listed_as_met():
    report = {"records": 10, "rules": {"a.min": 9}, "max_rejected": {"default": 0.5, "b.max": 0.2}}
    assert [(item["kwargs"], item["success"]) for item in checks.check_rejects(report)] == [
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
        ({"true": 50, "false": 50}, True),
        ({"a": 48, "b": 48, "c": 4}, False),
    ],
)
def test_classes_one_alone_or_a_rare_one_fails(counts, success):
    assert checks.check_classes(counts, "y", 0.05)["success"] is success


@pytest.mark.parametrize(
    ("hidden", "as_of", "told"),
    [
        (["at"], "2020-06-12", ["•••", "2020-06-12T00:00:00", "•••"]),
        (["seen"], "data", ["2020-06-09T00:00:00", "•••", "•••"]),
        (["amount"], "data", ["2020-06-09T00:00:00", "2020-06-10T00:00:00", 1.0]),
    ],
)
def test_the_newest_moment_of_a_personal_column_is_told_neither_nor_what_it_follows_from(hidden, as_of, told):
    given = {name: {**DECLARED[name], "personal": name in hidden} for name in ("at", "seen", "amount")}
    moments = {"at": {"max": "2020-06-09T00:00:00"}, "seen": {"max": "2020-06-10T00:00:00"}}
    freshness = Freshness.model_validate({"column": "at", "max_age_days": 3, "as_of": as_of})
    found = checks.check_freshness(freshness, {"columns": moments}, contract(columns=given).columns, None)
    assert found["success"]
    assert list(found["observed"].values()) == told


def test_a_picture_is_kept_as_it_is_and_shown_as_its_size(shop):
    report = shop.validate(table(photo=[b"abc", *SOUND["photo"][1:]]))
    (failed,) = [result for result in report["results"] if not result["success"]]
    assert failed["observed"]["partial_unexpected_list"] == [3]
    assert pq.read_table(shop.out / "failing.parquet").column("photo").to_pylist() == [b"abc"]
    assert json.loads(to_json(report)) == report
    assert pa.types.is_binary(pq.read_schema(shop.out / "failing.parquet").field("photo").type)
