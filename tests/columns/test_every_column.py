"""One contract for every type of column: whatever stands in stages/columns must do all of this."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from column_cases import CASES, Case

from serving.prepare import parse
from serving.values import Problem
from stages.columns import Encoder, draw, encode, feature_options, fit, inputs, module_of
from stages.contract.loader import declare, seam
from stages.core.files import to_json
from stages.core.graph import run

EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def clean(case: Case, raw: pa.Array) -> Any:
    column = declare("shop.columns.c", case.declared)
    return module_of(column).clean("c", column, raw)


def typed(case: Case, raw: list[Any]) -> pa.Table:
    """The sound rows of `raw`, beside a column of numbers: an id alone would draw no output."""
    cleaned = clean(case, pa.array(raw, pa.array(case.train).type))
    sound = ~np.any([np.zeros(len(raw), bool), *cleaned.broken.values()], axis=0)
    table = pa.table({"c": cleaned.values, "anchor": pa.array(np.arange(len(raw), dtype=float))})
    return table.filter(pa.array(sound))


def columns_of(case: Case) -> dict[str, Any]:
    return {"c": declare("shop.columns.c", case.declared), "anchor": declare("shop.columns.anchor", {"type": "number"})}


def options_of(case: Case) -> dict[str, Any]:
    return feature_options(columns_of(case), {}, {"c": case.features}, "shop.features")


def encoder_of(case: Case, train: pa.Table) -> Encoder:
    return fit(columns_of(case), options_of(case), train)


def content(encoder: Encoder) -> bytes:
    return bytes(encoder.model.SerializeToString(deterministic=True))


def holds(encoder: Encoder, arrays: dict[str, np.ndarray], num_rows: int) -> None:
    """What ArraySpec promises of each array."""
    assert sorted(arrays) == sorted(spec.name for spec in encoder.specs)
    for spec in encoder.specs:
        array = arrays[spec.name]
        assert array.dtype == spec.dtype
        assert len(array) == num_rows
        if spec.kind == "dense":
            assert array.shape[1:] == (spec.size,)
            assert len(spec.columns) == spec.size
            assert np.isfinite(array).all()
        elif spec.kind in ("image", "wave"):
            assert array.shape[1:] == spec.shape
            assert int(np.prod(spec.shape)) == spec.size
        else:
            assert array.ndim == (1 if spec.kind == "index" else 2)
            assert array.min(initial=0) >= 0
            assert array.max(initial=0) < spec.size
            assert spec.kind != "tokens" or (np.diff((array > 0).astype(int), axis=1) <= 0).all()


def test_each_type_of_column_has_a_case_here():
    assert {name.split(",")[0] for name in CASES} == set(seam("columns"))


@EVERY
def test_arrays_are_what_their_specs_say(case):
    train = typed(case, case.train)
    encoder = encoder_of(case, train)
    holds(encoder, encode(encoder, columns_of(case), train), train.num_rows)


@EVERY
@pytest.mark.parametrize("num_rows", [0, 1])
def test_no_row_and_one_row_are_encoded(case, num_rows):
    train = typed(case, case.train)
    encoder = encoder_of(case, train)
    holds(encoder, encode(encoder, columns_of(case), train.slice(0, num_rows)), num_rows)


@EVERY
def test_unseen_and_missing_values_are_encoded(case):
    encoder = encoder_of(case, typed(case, case.train))
    strange = typed(case, [*case.poison, *([] if case.declared.get("required") else [None])])
    holds(encoder, encode(encoder, columns_of(case), strange), strange.num_rows)


@EVERY
@pytest.mark.parametrize("raw", [[], [None], [None, None]], ids=["no row", "one missing", "all missing"])
def test_training_rows_without_a_value_are_fitted(case, raw):
    column = columns_of(case)
    values = module_of(column["c"]).clean("c", column["c"], pa.array(raw, pa.array(case.train).type)).values
    empty = pa.table({"c": values, "anchor": pa.array(np.zeros(len(raw)))})
    encoder = encoder_of(case, empty)
    strange = typed(case, [*case.train, *case.poison])
    holds(encoder, encode(encoder, column, strange), strange.num_rows)


@EVERY
def test_a_row_alone_equals_the_row_in_its_batch(case):
    train = typed(case, case.train)
    encoder, columns = encoder_of(case, train), columns_of(case)
    together = encode(encoder, columns, train)
    for i in range(train.num_rows):
        alone = encode(encoder, columns, train.slice(i, 1))
        for spec in encoder.specs:
            one, row = alone[spec.name][0], together[spec.name][i]
            if spec.kind in ("set", "tokens"):
                assert not row[len(one) :].any()
                row = row[: len(one)]
            np.testing.assert_array_equal(one, row)


@EVERY
def test_the_same_rows_give_the_same_bytes(case):
    train = typed(case, case.train)
    assert content(encoder_of(case, train)) == content(encoder_of(case, train))


@EVERY
def test_rows_outside_training_change_nothing_that_was_fitted(case):
    """Train is a slice of a longer table, as a careless reader of buffers would not notice."""
    clean_table = pa.concat_tables([typed(case, case.train)] * 2).combine_chunks()
    poison = typed(case, case.poison)
    poisoned = pa.concat_tables([poison, clean_table, poison]).combine_chunks()
    train = poisoned.slice(poison.num_rows, clean_table.num_rows)
    assert encoder_of(case, train).state == encoder_of(case, clean_table).state
    assert content(encoder_of(case, train)) == content(encoder_of(case, clean_table))


@EVERY
def test_fitted_state_survives_json(case):
    encoder = encoder_of(case, typed(case, case.train))
    again, specs = draw(columns_of(case), options_of(case), json.loads(to_json(encoder.state)))
    assert again == encoder.model
    assert specs == encoder.specs


@EVERY
def test_a_slice_of_a_table_gives_the_arrays_of_its_rows(case):
    table, columns = typed(case, case.train), columns_of(case)
    whole, part = inputs(columns, table)["c"], inputs(columns, table.slice(1, table.num_rows - 1))["c"]
    if case.declared["type"] == "items":  # as wide as the longest of its own lists
        assert (whole[1:, part.shape[1] :] == "").all()
        whole = whole[:, : part.shape[1]]
    np.testing.assert_array_equal(part, whole[1:])
    column, values = columns["c"], table.column("c").combine_chunks()
    np.testing.assert_array_equal(module_of(column).array(column, values.slice(1)), whole[1:])


@EVERY
def test_the_graph_takes_what_serving_prepares(case):
    """Arrays of a table, and of its raw values parsed one by one, are the same."""
    from serving.prepare import prepare

    columns = columns_of(case)
    rows = [{"c": value, "anchor": float(i)} for i, value in enumerate(pa.array(case.train).to_pylist())]
    served, problems = prepare([column.describe(name) for name, column in columns.items()], rows)
    stored = inputs(columns, typed(case, case.train))
    assert len(served["anchor"]) == sum(not found for found in problems)
    for name, array in served.items():
        assert array.dtype == stored[name].dtype
        np.testing.assert_array_equal(array, stored[name])
    encoder = encoder_of(case, typed(case, case.train))
    run(encoder.model, {name: array[:1] for name, array in served.items()})


def one_by_one(case: Case, raw: pa.Array) -> tuple[list[Any], list[str]]:
    """Each value's Arrow form and the rule that it breaks, by serving's own code."""
    description = declare("shop.columns.c", case.declared).describe("c")
    values, rules = [], []
    for value in raw.to_pylist():
        try:
            parsed, rule = parse(description, value), ""
        except Problem as problem:
            parsed, rule = None, problem.rule
        if isinstance(parsed, np.ndarray):
            parsed = parsed.tobytes()
        if description["type"] == "timestamp" and parsed is not None:
            parsed = datetime(1970, 1, 1) + timedelta(seconds=parsed)
        values.append(parsed)
        rules.append(rule)
    return values, rules


@EVERY
def test_cleaning_a_column_equals_parsing_its_values_one_by_one(case):
    raw = pa.array([*case.train, *case.poison, *case.train])
    cleaned = clean(case, raw)
    values, rules = one_by_one(case, raw)
    assert cleaned.values.to_pylist() == values
    assert {rule: mask.tolist() for rule, mask in cleaned.broken.items()} == {
        rule: [found == rule for found in rules] for rule in set(rules) - {""}
    }


@EVERY
def test_cleaning_twice_is_cleaning_once(case):
    once = typed(case, [*case.train, *case.poison]).column("c").combine_chunks()
    twice = clean(case, once)
    assert twice.broken == {}
    assert twice.values.equals(once)


@EVERY
def test_cleaning_does_not_depend_on_the_order_of_rows(case):
    raw = pa.array([*case.train, *case.poison])
    order = np.random.default_rng(5).permutation(len(raw))
    first, second = clean(case, raw), clean(case, raw.take(pa.array(order)))
    assert second.values.equals(first.values.take(pa.array(order)))
    assert {rule: mask[order].tolist() for rule, mask in first.broken.items()} == {
        rule: mask.tolist() for rule, mask in second.broken.items()
    }


@EVERY
def test_a_column_of_nulls_alone_is_cleaned(case):
    cleaned = clean(case, pa.nulls(3))
    assert cleaned.values.to_pylist() == [None, None, None]
    assert set(cleaned.broken) == ({"required"} if case.declared.get("required") else set())


@EVERY
def test_expectations_are_great_expectations_in_json(case):
    column = declare("shop.columns.c", case.declared)
    for expectation in module_of(column).expectations(column):
        assert sorted(expectation) == ["kwargs", "type"]
        assert expectation["type"].startswith("expect_column_")
        to_json(expectation)


def test_moments_with_a_zone_are_kept_as_the_same_instant():
    zone = timezone(timedelta(hours=-5))
    raw = pa.array([datetime(2020, 1, 1, 0, 0, tzinfo=zone)], pa.timestamp("ns", "America/New_York"))
    assert clean(Case({"type": "timestamp"}, [], []), raw).values.to_pylist() == [datetime(2020, 1, 1, 5)]
