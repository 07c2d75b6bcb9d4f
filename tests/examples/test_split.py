"""Rows in, sides out: equal keys stay together, and rows that are added move nobody."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.errors import DataError
from stages.examples import Split
from stages.examples.split import SIDES, assign, hash_rows, uniform

KEYS = ["anna", "ben", "cleo", "dora", "emil", "finn", "gina", "hugo", "ida", "jan", "kira", "leo"]
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "ü", "", None]), st.integers(0, 3)), min_size=1, max_size=30)


def people(names: list[str | None], amounts: list[float | None] | None = None) -> pa.Table:
    amounts = amounts or [float(i) for i in range(len(names))]
    return pa.table({"name": pa.array(names, pa.string()), "amount": pa.array(amounts, pa.float64())})


def place(table: pa.Table, settings: Split, inputs: list[str], **more) -> tuple[np.ndarray, np.ndarray]:
    """Sides as words, and groups."""
    groups = hash_rows(table, settings.keys or inputs)
    sides = assign(table, settings, groups, **{"target": "name", **more})
    return np.array([*SIDES, "left out"])[sides], groups


def sides_of(table: pa.Table, **settings) -> list[str]:
    return place(table, Split(**settings), table.column_names)[0].tolist()


def test_twelve_people_always_get_these_sides():
    sides = sides_of(people(KEYS), by="group", key="name", validation=0.25, test=0.25)
    found = {side: " ".join(name for name, at in zip(KEYS, sides, strict=True) if at == side) for side in set(sides)}
    assert found == {"train": "ben dora emil finn ida jan", "validation": "anna cleo gina kira", "test": "hugo leo"}


def test_rows_with_an_equal_key_share_side_and_group_whatever_else_they_hold():
    table = people([*KEYS, *KEYS])
    sides, groups = place(table, Split(by="group", key="name", validation=0.3, test=0.3), table.column_names)
    assert sides[:12].tolist() == sides[12:].tolist()
    assert groups[:12].tolist() == groups[12:].tolist()
    assert len(set(groups.tolist())) == 12


def test_a_key_of_two_columns_separates_what_either_alone_would_join():
    table = people(["a", "a", "b", "b", "a"], [1.0, 2.0, 1.0, 2.0, 1.0])
    both = hash_rows(table, ["name", "amount"]).tolist()
    assert len(set(both)) == 4
    assert both[0] == both[4]
    assert len(set(hash_rows(table, ["name"]).tolist())) == 2


def test_without_a_key_equal_inputs_stay_together_and_other_columns_do_not_count():
    table = people(["a", "b", "a", None, None, ""], [1.0, 2.0, 1.0, None, None, None])
    settings = Split(validation=0.4, test=0.4)
    with_note = table.append_column("note", pa.array(list("uvwxyz")))
    sides, groups = place(with_note, settings, ["name", "amount"])
    assert groups.tolist() == place(table, settings, ["name", "amount"])[1].tolist()
    assert groups[0] == groups[2]
    assert groups[3] == groups[4] != groups[5], "no value and the empty text are two keys"
    assert sides[0] == sides[2]


@given(ROWS, ROWS, st.integers(0, 5))
def test_rows_stay_on_their_side_when_rows_are_appended(old, new, seed):
    def table(rows):
        return pa.table(
            {"k": pa.array([k for k, _ in rows], pa.string()), "n": pa.array([n for _, n in rows], pa.int64())}
        )

    settings = {"validation": 0.3, "test": 0.3, "seed": seed}
    before = sides_of(table(old), **settings)
    assert sides_of(table(old + new), **settings)[: len(old)] == before
    assert sides_of(table(new + old), **settings)[len(new) :] == before


@given(ROWS, st.integers(0, 5))
def test_no_key_stands_on_two_sides(rows, seed):
    table = pa.table({"k": pa.array([k for k, _ in rows], pa.string()), "n": [n for _, n in rows]})
    sides = sides_of(table, by="group", key="k", validation=0.3, test=0.3, seed=seed)
    assert len(set(zip(table["k"].to_pylist(), sides, strict=True))) == len(set(table["k"].to_pylist()))


@pytest.mark.parametrize(("validation", "test"), [(0.15, 0.15), (0.1, 0.3), (0.2, 0.0)])
def test_shares_are_as_asked_within_two_points_over_ten_thousand_keys(validation, test):
    sides = np.array(sides_of(people([f"c{i}" for i in range(10_000)]), validation=validation, test=test))
    assert np.mean(sides == "validation") == pytest.approx(validation, abs=0.02)
    assert np.mean(sides == "test") == pytest.approx(test, abs=0.02)


def test_a_larger_test_share_takes_rows_in_and_lets_none_go():
    table = people([f"c{i}" for i in range(500)])
    small = np.array(sides_of(table, test=0.1)) == "test"
    large = np.array(sides_of(table, test=0.3)) == "test"
    assert small.sum() < large.sum()
    assert not (small & ~large).any()


def test_another_seed_gives_other_sides_and_the_same_groups():
    table = people([f"c{i}" for i in range(500)])
    first, second = (place(table, Split(seed=seed), table.column_names) for seed in (0, 1))
    assert 0.2 < np.mean(first[0] != second[0]) < 0.6
    assert first[1].tolist() == second[1].tolist()


def test_places_lie_in_zero_to_one_even_for_the_extreme_hashes():
    groups = np.array([-(2**63), -1, 0, 1, 2**63 - 1])
    places = uniform(groups, 0)
    assert len(set(places.tolist())) == 5
    assert ((places >= 0) & (places < 1)).all()


def official(values: list[str | None]) -> pa.Table:
    return people([f"c{i}" for i in range(len(values))]).append_column("side", pa.array(values, pa.string()))


def test_official_test_rows_are_exactly_the_named_ones_and_validation_comes_out_of_train():
    table = official(["train"] * 400 + ["test"] * 100)
    sides, _ = place(table, Split(by="official", column="side", validation=0.2), ["name"])
    assert (sides[400:] == "test").all()
    assert set(sides[:400].tolist()) == {"train", "validation"}
    assert np.mean(sides[:400] == "validation") == pytest.approx(0.2, abs=0.06)


def test_official_validation_rows_are_the_named_ones_where_there_are_some():
    table = official(["train"] * 40 + ["validation"] * 5 + ["test"] * 10)
    sides, _ = place(table, Split(by="official", column="side", validation=0.9), ["name"])
    assert sides.tolist() == table.column("side").to_pylist()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (["train", "test", "dev"], "'dev'"),
        (["train", "validation"], "'validation'"),
        (["train", "Test"], "'Test'"),
        (["train", "test", None], "None"),
        (["train", "train"], "['train']"),
        (["test"], "['test']"),
        ([], "[]"),
    ],
)
def test_official_refuses_other_values_and_names_them(values, named):
    with pytest.raises(DataError) as caught:
        place(official(values), Split(by="official", column="side"), ["name"])
    assert "examples.split.column side holds" in str(caught.value)
    assert named in str(caught.value)
    assert "expected train and test" in str(caught.value)


@pytest.mark.parametrize("by", ["hash", "stratified"])
def test_rows_of_a_value_are_all_test_beside_the_test_share_of_the_others(by):
    table = official(["known"] * 600 + ["new"] * 100)
    plain, _ = place(table, Split(by=by, validation=0.2, test=0.2), ["name"])
    sides, _ = place(table, Split(by=by, validation=0.2, test=0.2, test_where={"side": "new"}), ["name"])
    assert (sides[600:] == "test").all()
    assert sides[:600].tolist() == plain[:600].tolist()


def test_a_group_with_a_row_of_that_value_is_test_as_a_whole():
    table = people(["anna", "ben"] * 50).append_column("side", pa.array(["new"] + ["known"] * 99))
    sides, _ = place(table, Split(by="group", key="name", test=0.0, test_where={"side": "new"}), ["name"])
    assert (sides[::2] == "test").all()
    assert (sides[1::2] != "test").all()


def test_a_value_that_no_row_has_is_refused():
    with pytest.raises(DataError, match=r"rows whose side is 'newer', and there is none\. Found: known, new"):
        place(official(["known", "new"]), Split(test_where={"side": "newer"}), ["name"])
