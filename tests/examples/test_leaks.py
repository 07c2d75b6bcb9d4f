"""Splits that would lie are refused, each for its own reason; sound ones are not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.contract import Contract
from stages.contract.loader import declare
from stages.examples import Leaks, Split, make
from stages.examples import judge as judging
from stages.examples import leaks as leaking
from stages.examples.split import by_place, hash_rows, uniform
from stages.targets import target_module

COLUMNS = {
    "amount": {"type": "number"},
    "colour": {"type": "category"},
    "side": {"type": "category", "input": False},
    "buys": {"type": "category"},
}


def contract(**columns: dict[str, Any]) -> Contract:
    examples = {
        "target": {"column": "buys", "positive": "yes"},
        "split": {"by": "official", "column": "side", "validation": 0.25},
    }
    return Contract("shop", {"columns": {**COLUMNS, **columns}, "validate": {}, "examples": examples})


def part(rows: int, seed: int, **columns: Any) -> pa.Table:
    """Sound rows: labels at random, an amount and a colour that know nothing of them."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.resize(["yes", "no"], rows))
    plain = {"amount": rng.normal(size=rows), "colour": rng.choice(["red", "green", "blue"], rows)}
    made = {name: make_column(labels, rng) for name, make_column in columns.items()}
    return pa.table({**plain, **made, "buys": labels})


def sound(**columns: Any) -> dict[str, pa.Table]:
    return {name: part(rows, seed, **columns) for seed, (name, rows) in enumerate(SIZES.items())}


SIZES = {"train": 400, "validation": 60, "test": 60}


def judge(parts: dict[str, pa.Table], given: Contract | None = None, **settings):
    return judging.judge(parts, given or contract(), Leaks(**settings))


def test_sound_splits_have_no_reason_against_them():
    assert judge(sound()) == []


# Rows 0 and 5 stand in train and test, 2 in train and validation, 3 in validation and test.
TWINS = pa.table(
    {
        "amount": [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 3.0, 4.0, 1.0, 2.0, None, None],
        "colour": ["a", "b", "c", "d", "e", "a", "c", "d", "a", "B", None, None],
    }
)
WORDS = np.array(
    ["train", "train", "train", "validation", "train", "train", "validation", "test", "test", "test", "train", "test"]
)


PLACES = np.array([["train", "validation", "test"].index(word) for word in WORDS], np.int8)


def across(table: pa.Table, sides: np.ndarray, inputs: list[str]) -> tuple[np.ndarray, dict[str, Any]]:
    leaked, _ = leaking.across(hash_rows(table, inputs), sides)
    return leaked, leaking.summary(leaked)


def test_rows_that_stand_on_a_later_side_too_are_named_and_test_rows_never():
    drop, found = across(TWINS, PLACES, ["amount", "colour"])
    assert np.flatnonzero(drop).tolist() == [0, 2, 3, 5, 10]
    assert found == {"leaked": 5, "rows": [0, 2, 3, 5, 10]}


def test_dropping_the_named_rows_ends_every_leak():
    drop, _ = across(TWINS, PLACES, ["amount", "colour"])
    kept = TWINS.filter(pa.array(~drop))
    again, found = across(kept, PLACES[~drop], ["amount", "colour"])
    assert found == {"leaked": 0, "rows": []}
    assert not again.any()


def test_twins_on_one_side_are_no_leak_and_neither_is_an_empty_table():
    for table, sides in [(TWINS, np.zeros(12, np.int8)), (TWINS.slice(0, 0), np.zeros(0, np.int8))]:
        assert across(table, sides, ["amount", "colour"])[1] == {"leaked": 0, "rows": []}


def test_only_model_inputs_make_twins():
    assert across(TWINS, PLACES, ["colour"])[1]["rows"] == [0, 2, 3, 5, 10]
    assert across(TWINS, PLACES, ["amount"])[1]["rows"] == [0, 1, 2, 3, 5, 10]


def test_twins_block_unless_they_are_dropped():
    twins = {"leaked": 7, "rows": [3, 9, 12, 40, 41, 77, 80]}
    (reason,) = leaking.blocked({"duplicates": twins}, Leaks())
    assert reason.startswith("7 training or validation rows have the same inputs as a row of a later split")
    assert "[3, 9, 12, 40, 41]" in reason
    assert leaking.blocked({"duplicates": twins}, Leaks(duplicates="drop")) == []
    assert leaking.blocked({"duplicates": {**twins, "leaked": 0}}, Leaks()) == []


def official_table() -> pa.Table:
    """400 train and 100 test rows; the first three test rows are copies of training rows 10, 20 and 30."""
    table = part(500, 3)
    copied = pa.concat_tables([table.slice(0, 400), table.take([10, 20, 30]), table.slice(403)])
    return copied.append_column("side", pa.array(["train"] * 400 + ["test"] * 100))


def official_contract(**settings) -> Contract:
    made = contract()
    return Contract("shop", {**made.raw, "examples": {**made.raw["examples"], "leaks": settings}})


def test_examples_with_three_copies_are_refused_and_the_rows_named():
    table = official_table()
    parts, report, _ = make(table, official_contract(), Path())
    assert not report["passed"]
    assert report["duplicates"]["leaked"] == 3
    assert report["duplicates"]["rows"] == [10, 20, 30]
    assert len(report["reasons"]) == 1
    assert parts["test"].num_rows == 100


def test_drop_takes_the_training_copies_and_leaves_every_test_row():
    table = official_table()
    parts, report, _ = make(table, official_contract(duplicates="drop"), Path())
    assert report["passed"], report["reasons"]
    assert report["duplicates"]["dropped"] == 3
    assert parts["test"].drop(["_group"]).equals(table.slice(400))
    assert parts["train"].num_rows + parts["validation"].num_rows == 397
    assert report["examples"] == 500


def test_rows_without_a_label_are_counted_and_left_out():
    table = part(300, 4).append_column("side", pa.array(["train"] * 200 + ["test"] * 100))
    labels = [None if i % 10 == 0 else label for i, label in enumerate(table["buys"].to_pylist())]
    parts, report, _ = make(table.set_column(2, "buys", pa.array(labels)), official_contract(), Path())
    assert report["without_label"] == 30
    assert sum(each.num_rows for each in parts.values()) == report["examples"] == 270


def score(declared: dict[str, Any], values: list[Any], labels: np.ndarray, dtype: pa.DataType | None = None) -> float:
    return judging.column_score(declare("c", declared), pa.array(values, dtype), labels)


NUMBERS = {  # how a number may give the target away
    "itself": lambda y, rng: (y == "yes") * 1.0,
    "shifted and noisy": lambda y, rng: (y == "yes") * 10 + rng.uniform(0, 1, len(y)),
    "reversed": lambda y, rng: (y == "no") * 1e6 + rng.uniform(0, 1, len(y)),
    "missing where no": lambda y, rng: pa.array(rng.normal(size=len(y)), mask=y == "no"),
    "tiny and huge": lambda y, rng: np.where(y == "yes", 1e-300, 1e300) * rng.uniform(0.5, 1, len(y)),
}


@pytest.mark.parametrize("how", NUMBERS)
def test_a_number_that_gives_the_target_away_is_refused(how):
    (reason,) = judge(sound(amount=NUMBERS[how]))
    assert reason.startswith("amount alone predicts buys with a balanced accuracy of 1.000 (limit 0.99)")
    assert "Mark it input: false" in reason


def test_a_category_that_gives_the_target_away_is_refused_alone():
    leaked = {"colour": lambda y, rng: np.where(y == "yes", rng.choice(["a", "b"], len(y)), "c")}
    (reason,) = judge(sound(**leaked))
    assert reason.startswith("colour alone predicts buys")


def test_a_boolean_that_gives_the_target_away_is_refused_alone():
    (reason,) = judge(sound(paid=lambda y, rng: y == "yes"), given=contract(paid={"type": "boolean"}))
    assert reason.startswith("paid alone predicts buys")


def test_a_leak_that_is_hidden_from_models_is_no_reason():
    given = contract(amount={"type": "number", "input": False})
    assert judge(sound(amount=NUMBERS["itself"]), given=given) == []


def test_a_strong_but_honest_number_passes_until_the_limit_is_lowered():
    strong = sound(amount=lambda y, rng: (y == "yes") * 3 + rng.normal(size=len(y)))
    assert judge(strong) == []
    (reason,) = judge(strong, max_column_score=0.8)
    assert reason.startswith("amount alone predicts buys")


def test_a_strong_but_honest_category_passes():
    assert judge(sound(colour=lambda y, rng: np.where(rng.uniform(size=len(y)) < 0.05, "red", y))) == []


def test_an_identifier_like_category_predicts_nothing_on_rows_it_was_not_learned_from():
    labels = np.resize([0, 1, 1, 0], 400)
    assert score({"type": "category"}, [f"id{i}" for i in range(400)], labels) <= 0.6


def test_a_leak_in_three_classes_is_seen():
    labels = np.random.default_rng(0).integers(0, 3, 600)
    assert score({"type": "number"}, (labels * 1.5).tolist(), labels) == 1.0
    assert score({"type": "number"}, np.random.default_rng(1).normal(size=600).tolist(), labels) < 0.5


def test_a_rare_class_does_not_look_like_a_leak():
    labels = (np.arange(1000) % 100 < 2).astype(int)
    assert score({"type": "number"}, np.random.default_rng(5).normal(size=1000).tolist(), labels) < 0.8


def test_texts_ids_and_small_tables_are_not_tried():
    labels = np.random.default_rng(0).integers(0, 2, 60)
    for kind in ("text", "id"):
        assert score({"type": kind}, [str(label) for label in labels], labels, pa.string()) == 0.0
    assert score({"type": "number"}, labels[:49].astype(float).tolist(), labels[:49]) == 0.0
    assert score({"type": "number"}, labels[:50].astype(float).tolist(), labels[:50]) == 1.0


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_one_class_in_any_split_is_refused(name):
    parts = sound()
    parts[name] = parts[name].set_column(2, "buys", pa.array(["no"] * SIZES[name]))
    assert judge(parts) == [f"{name} has {SIZES[name]} rows of 1 class of buys; at least two classes are needed"]


def test_an_empty_split_is_refused():
    parts = sound()
    parts["test"] = parts["test"].slice(0, 0)
    assert judge(parts) == ["test has 0 rows of 0 classes of buys; at least two classes are needed"]


def test_a_column_with_no_value_in_training_is_refused_and_one_value_is_enough():
    parts = sound()
    kinds = {"amount": (0, pa.float64(), 1.0), "colour": (1, pa.string(), "red")}
    for name, (place, dtype, value) in kinds.items():
        empty = parts["train"].set_column(place, name, pa.nulls(400, dtype))
        assert judge({**parts, "train": empty}) == [
            f"{name} has no value in any training row; take it out of the columns, or mend its source"
        ]
        one = parts["train"].set_column(place, name, pa.array([value] + [None] * 399, dtype))
        assert judge({**parts, "train": one}) == []


def test_a_leak_is_seen_where_the_classes_alternate_by_row():
    labels = np.resize(["yes", "no"], 400)
    train = pa.table({"amount": np.resize([1.0, 0.0], 400), "colour": ["red"] * 400, "buys": labels})
    reasons = judge({**sound(), "train": train})
    assert [reason.split(" with ")[0] for reason in reasons] == ["amount alone predicts buys"]


def test_a_class_that_is_too_rare_in_training_is_refused():
    parts = sound()
    parts["train"] = parts["train"].set_column(2, "buys", pa.array(["yes"] * 2 + ["no"] * 398))
    reasons = judge(parts)
    assert reasons == ["only 0.50% of the training rows are 'yes'; validate.min_class_share asks for 1.00%"]


# --- near duplicates, groups, and what is kept together ------------------------------------------

NOTES = [
    "The room was clean and quiet, and the breakfast was rich.",
    "We waited an hour at the desk and nobody came to help us.",
    "A fine old house by the sea, with a view that we shall not forget.",
    "The shower was cold, the walls are thin, and the street is loud.",
]


def noted(**leaks_settings: Any) -> Contract:
    columns = {
        "who": {"type": "id"},
        "note": {"type": "text"},
        "amount": {"type": "number"},
        "side": {"type": "category", "input": False},
        "buys": {"type": "category"},
    }
    split = leaks_settings.pop("split", {"by": "official", "column": "side", "validation": 0.25})
    examples = {"target": {"column": "buys"}, "split": split, "leaks": leaks_settings}
    return Contract("shop", {"columns": columns, "validate": {}, "examples": examples})


def notes(changed: dict[int, dict[str, Any]], rows: int = 400) -> pa.Table:
    """The last quarter is the test. All notes, people and amounts differ but for what is `changed` by row."""
    rng = np.random.default_rng(11)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     "))
    table = [
        {
            "who": f"p{i}",
            "note": "".join(rng.choice(letters, 60)),
            "amount": float(rng.normal()),
            "side": "test" if i >= 0.75 * rows else "train",
            "buys": "yes" if rng.uniform() < 0.5 else "no",
            **changed.get(i, {}),
        }
        for i in range(rows)
    ]
    return pa.Table.from_pylist(table)


NEAR = {5: {"note": NOTES[0]}, 350: {"note": NOTES[0].replace("rich", "poor").upper()}, 360: {"note": NOTES[1]}}


def test_near_duplicates_across_splits_are_refused_dropped_or_not_looked_for_as_declared():
    near = {"column": "note", "similarity": 0.7}
    _, report, listing = make(notes(NEAR), noted(near=near), Path())
    (reason,) = report["reasons"]
    assert reason.startswith("1 training or validation rows have a near duplicate of note in a row of a later split")
    assert "leaks: {near: {…, then: drop}}" in reason
    (row,) = listing.to_pylist()
    assert (row["kind"], row["row"], row["same_as_row"], row["same_as_split"]) == ("near", 5, 350, "test")
    assert NOTES[0] in row["values"]
    parts, report, _ = make(notes(NEAR), noted(near={**near, "then": "drop"}), Path())
    assert report["passed"], report["reasons"]
    assert report["near"] == {"then": "drop", "leaked": 1, "rows": [5], "dropped": 1}
    assert sum(part.num_rows for part in parts.values()) == 399
    assert parts["test"].num_rows == 100
    assert make(notes(NEAR), noted(near={**near, "similarity": 0.95}), Path())[1]["passed"]
    assert make(notes(NEAR), noted(), Path())[1]["passed"]


def test_a_person_on_two_sides_is_refused_or_dropped_and_rows_without_one_are_nobody():
    shared = {5: {"who": "x"}, 6: {"who": "x"}, 350: {"who": "x"}, 7: {"who": None}, 351: {"who": None}}
    _, report, listing = make(notes(shared), noted(groups={"key": "who"}), Path())
    (reason,) = report["reasons"]
    assert reason.startswith("2 training or validation rows have the same who as a row of a later split")
    assert listing["row"].to_pylist() == [5, 6]
    parts, report, _ = make(notes(shared), noted(groups={"key": "who", "then": "drop"}), Path())
    assert report["passed"]
    assert sum(part.num_rows for part in parts.values()) == 398


def test_personal_values_are_masked_in_the_list_of_leaks():
    columns = noted().columns
    personal = {**columns, "who": declare("who", {"type": "id", "personal": True})}
    table, sides = notes({}), np.array([0] * 300 + [2] * 100, np.int8)
    same = np.arange(400)
    same[350] = same[3] = 1_000
    listing = leaking.listed("groups", leaking.across(same, sides), sides, table, personal)
    (row,) = listing.to_pylist()
    assert (row["row"], row["same_as_row"]) == (3, 350)
    values = json.loads(row["values"])
    assert values["who"] == "•••"
    assert values["amount"] == str(table["amount"][3].as_py())


def test_what_is_joined_by_inputs_text_or_person_stays_on_one_side():
    chain = {  # 0 and 100 by person, 100 and 200 by text, 200 and 300 by inputs
        0: {"who": "x"},
        100: {"who": "x", "note": NOTES[2]},
        200: {"note": NOTES[2] + "!", "amount": 7.0},
        300: {"note": NOTES[2] + "!", "amount": 7.0},
    }
    declared = {
        "duplicates": "together",
        "near": {"column": "note", "similarity": 0.9, "then": "together"},
        "groups": {"key": "who", "then": "together"},
    }
    alone = noted(duplicates="drop", split={"by": "hash"})
    joined = noted(**declared, split={"by": "hash"})
    for seed in range(5):
        table = notes({row: {**change, "side": str(seed)} for row, change in chain.items()})
        parts, report, _ = make(table, joined, Path())
        groups = {
            g
            for part in parts.values()
            for g, a in zip(part["_group"].to_pylist(), part["who"].to_pylist(), strict=True)
            if a in ("x", "p200", "p300")
        }
        assert len(groups) == 1
        assert report["duplicates"]["leaked"] == report["near"]["leaked"] == report["groups"]["leaked"] == 0
        assert report["passed"], report["reasons"]
        assert "joins two groups" in report["split"]["moves"]
        before = {row["who"]: name for name, part in make(table, alone, Path())[0].items() for row in part.to_pylist()}
        after = {row["who"]: name for name, part in parts.items() for row in part.to_pylist()}
        for who in before.keys() - {"x", "p200", "p300"}:
            assert after[who] == before[who], "who is joined to nobody stays"


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30),
    st.integers(0, 9),
)
def test_joined_rows_never_leak_and_appended_rows_move_only_what_they_join(rows, seed):
    columns = [np.array(column) * 7919 - 20_000 for column in zip(*rows, strict=True)]
    groups = leaking.together(*columns)
    sides = by_place(uniform(groups, seed), Split(validation=0.3, test=0.3))
    for column in columns:
        assert not leaking.across(column, sides)[0].any()
    backwards = leaking.together(*(column[::-1] for column in columns))
    assert backwards[::-1].tolist() == groups.tolist(), "the order of the rows decides nothing"
    # Rows that are joined to none of the old ones change no group.
    more = [np.concatenate([column, np.array([10**6, 10**6 + 1])]) for column in columns]
    assert leaking.together(*more)[: len(rows)].tolist() == groups.tolist()


# --- number targets ---------------------------------------------------------------------------------


def delays(rows: int = 600, **columns: Any) -> pa.Table:
    """`delay` follows the hour loosely; nothing gives it away."""
    rng = np.random.default_rng(2)
    hour = rng.integers(0, 24, rows).astype(float)
    delay = np.round(rng.exponential(10, rows) * (1 + hour / 12)) - 5
    made = {name: make_column(delay, rng) for name, make_column in columns.items()}
    plain = {"hour": hour, "distance": rng.uniform(50, 3000, rows), "carrier": rng.choice(list("abcd"), rows)}
    return pa.table({**plain, **made, "delay": delay})


def delay_contract(**columns: dict[str, Any]) -> Contract:
    declared = {"hour": {"type": "number"}, "distance": {"type": "number"}, "carrier": {"type": "category"}}
    return Contract(
        "delays",
        {
            "columns": {**declared, **columns, "delay": {"type": "number"}},
            "validate": {},
            "examples": {"target": {"column": "delay", "type": "number"}},
        },
    )


def test_a_number_is_reported_by_quantiles_and_rows_without_it_are_counted():
    table = delays()
    holes = pa.array(table["delay"].to_pylist(), mask=np.arange(600) % 10 == 0)
    parts, report, _ = make(table.set_column(3, "delay", holes), delay_contract(), Path())
    assert report["passed"], report["reasons"]
    assert report["without_label"] == 60
    for name, part in parts.items():
        values = np.array(part["delay"].to_pylist())
        told = report["splits"][name]
        assert told["rows"] == len(values)
        assert told["target"]["p50"] == np.median(values)
        assert (told["target"]["min"], told["target"]["max"]) == (values.min(), values.max())
        assert told["target"]["mean"] == pytest.approx(values.mean())


def test_a_constant_number_is_refused():
    table = delays()
    reasons = make(table.set_column(3, "delay", pa.array([4.0] * 600)), delay_contract(), Path())[1]["reasons"]
    assert len(reasons) == 3
    assert all("rows of 1 value of delay; at least two values are needed" in reason for reason in reasons)


GIVEN_AWAY = {
    "itself": lambda y, rng: y,
    "in hours, reversed": lambda y, rng: -y / 60,
    "squared": lambda y, rng: (y - y.mean()) ** 3,
    "with a little noise": lambda y, rng: y + rng.normal(0, 0.05, len(y)),
}


@pytest.mark.parametrize("how", GIVEN_AWAY)
def test_a_number_that_gives_the_number_away_is_refused(how):
    given = delay_contract(arrival={"type": "number"})
    (reason,) = make(delays(arrival=GIVEN_AWAY[how]), given, Path())[1]["reasons"]
    assert reason.startswith("arrival alone predicts delay with an R² (of ranks) of 0.99") or "of 1.000" in reason
    assert "Mark it input: false" in reason


def test_a_formula_is_seen_in_a_hundred_rows_already_and_noise_in_none():
    rng = np.random.default_rng(0)
    values = rng.normal(size=100)
    ranks = judging.ranks(pa.array(values**3 + 5))
    assert judging.number_score(declare("c", {"type": "number"}), pa.array(values), ranks) > 0.99
    assert judging.number_score(declare("c", {"type": "number"}), pa.array(rng.normal(size=100)), ranks) < 0.2


def test_a_category_that_gives_the_number_away_is_refused():
    given = delay_contract(word={"type": "category"})
    table = delays(6000, word=lambda y, rng: [f"w{min(value, 40):.0f}" for value in y])
    (reason,) = make(table, given, Path())[1]["reasons"]
    assert reason.startswith("word alone predicts delay")


def test_a_strong_but_honest_number_passes():
    given = delay_contract(forecast={"type": "number"})
    report = make(delays(forecast=lambda y, rng: y + rng.normal(0, 3, len(y))), given, Path())[1]
    assert report["passed"], report["reasons"]


def test_each_kind_of_target_has_a_module():
    assert target_module(delay_contract().target).__name__ == "stages.targets.number"
    assert target_module(contract().target).__name__ == "stages.targets.category"
