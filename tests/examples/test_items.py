"""What is known of items: the query that docs/rankings.md shows, and what `examples` and `features` make of it."""

import copy
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from stages.contract.loader import Contract
from stages.core import items as core_items
from stages.core.errors import ContractError, DataError
from stages.core.items import carried
from stages.examples import check, make
from stages.features import check as check_features
from stages.features import main as features
from stages.training.features import fit_features, problem_of

PAGE = (Path(__file__).parents[2] / "docs" / "rankings.md").read_text(encoding="utf-8")
YAML_BLOCK = next(block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "items.sql" in block)
DECLARED = YAML(typ="safe").load(YAML_BLOCK)
ITEMS_SQL = next(block for block in re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL) if "arg_max" in block)
DERIVE_SQL = """
select customer,
    coalesce(list(item order by time, item) filter (where time < $as_of), []) as past_items,
    coalesce(list(item order by item) filter (where time >= $as_of), []) as next_items
from records where time < $as_of::timestamp + interval 10 days
group by customer having min(time) < $as_of order by customer
"""
RAW = {
    "columns": {
        "customer": {"type": "id"}, "item": {"type": "id"}, "time": {"type": "timestamp"},
        "description": {"type": "text"}, "price": {"type": "number"},
    },
    "validate": {},
    "features": DECLARED["features"],
    "examples": {
        "derive": "derive.sql",
        "as_of": {"time": "time", "days_before_end": 10, "every_days": 10, "count": 4},
        "columns": {
            "customer": {"type": "id"}, "past_items": {"type": "items", "required": True},
            "next_items": {"type": "items"},
        },
        "target": DECLARED["examples"]["target"],
        "split": {"by": "time", "validation_from": "2024-02-10", "test_from": "2024-02-20"},
        "leaks": {"duplicates": "drop"},
    },
}  # fmt: skip
NAMES = {"a": "RED MUG", "b": "BLUE MUG", "c": "RED LAMP", "d": "BLUE LAMP"}
VALIDATION = datetime(2024, 2, 10)  # of the dates 31 January, 10 and 20 February, and 1 March


def records():
    """Twelve customers buy two of four items in turn, until 11 March; "e" is first sold in March."""
    start = datetime(2024, 1, 11)
    events = [("c1", "e", datetime(2024, 3, 3))]
    for day in range(61):
        who, when = f"c{day % 12}", start + timedelta(days=day)
        events.append((who, "abcd"[(day // 2 + day % 12) % 4], when + timedelta(hours=day % 5)))
        events.append((who, "abcd"[day * 7 % 4], when + timedelta(hours=7)))
    customers, items, times = zip(*events, strict=True)
    return pa.table(
        {
            "customer": customers, "item": items, "time": pa.array(times, pa.timestamp("us")),
            "description": [NAMES.get(item, "GREEN DOOR") for item in items],
            "price": [1.0 + "abcde".index(item) for item in items],
        }
    )  # fmt: skip


def contract_of(change=None, **sections):
    raw = copy.deepcopy({**RAW, **sections})
    raw["examples"]["target"]["items"] |= change or {}
    return Contract("shop", raw)


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "derive.sql").write_text(DERIVE_SQL)
    (tmp_path / "items.sql").write_text(ITEMS_SQL)
    return tmp_path


def test_the_training_rows_carry_one_row_an_item(sources):
    check(contract_of())
    splits, report, _ = make(records(), contract_of(), sources)
    assert report["passed"], report["reasons"]
    expected = [
        {"item": item, "description": NAMES[item], "price": 1.0 + place} for place, item in enumerate(sorted(NAMES))
    ]
    assert carried(splits["train"]).to_pylist() == expected
    assert report["items"] == {"rows": 4, "records": "before 2024-02-10T00:00:00", "items_of_train": 4, "with_a_row": 4}


def test_no_record_from_the_first_date_of_validation_on_is_seen(sources):
    """Each item's newest description and price, poisoned from then on."""
    table = records()
    later = pc.greater_equal(table["time"], pa.scalar(VALIDATION, pa.timestamp("us")))
    poisoned = table.set_column(3, "description", pc.if_else(later, "POISON", table["description"]))
    poisoned = poisoned.set_column(4, "price", pc.if_else(later, 1e6, table["price"]))
    clean, dirty = (carried(make(each, contract_of(), sources)[0]["train"]) for each in (table, poisoned))
    assert pc.any(later).as_py()
    assert clean.equals(dirty)


def test_the_query_may_ask_for_the_date_that_it_knows_up_to(sources):
    (sources / "items.sql").write_text(
        "select item, 'x' as description, epoch($as_of) as price from records group by 1"
    )
    splits, _, _ = make(records(), contract_of(), sources)
    assert set(carried(splits["train"])["price"].to_pylist()) == {(VALIDATION - datetime(1970, 1, 1)).total_seconds()}


def test_where_an_example_is_a_record_the_training_rows_are_what_is_known(sources):
    """No row of validation or test is seen: its genre stands in no item's."""
    raw = {
        "columns": {
            "reader": {"type": "id"}, "has": {"type": "items"}, "reads": {"type": "items"},
            "genre": {"type": "category", "input": False},
        },
        "validate": {},
        "examples": {
            "target": {
                "column": "reads", "type": "ranking", "history": "has",
                "items": {"derive": "items.sql", "key": "book", "columns": {"readers": {"type": "items"}}},
            },
            "split": {"by": "group", "key": "reader", "validation": 0.3, "test": 0.3},
            "leaks": {"duplicates": "drop"},
        },
    }  # fmt: skip
    (sources / "items.sql").write_text(
        "select book, list(reader order by reader) as readers from (select unnest(has) as book, reader from records) "
        "group by book order by book"
    )
    rows = [{"reader": f"r{n}", "has": [f"b{n % 7}", f"b{n % 5}"], "reads": [f"b{n % 3}"], "genre": "x"}
            for n in range(60)]  # fmt: skip
    contract = Contract("shelf", raw)
    check(contract)
    splits, report, _ = make(pa.Table.from_pylist(rows), contract, sources)
    seen = {reader for readers in carried(splits["train"])["readers"].to_pylist() for reader in readers}
    assert seen == set(splits["train"]["reader"].to_pylist())
    assert report["items"]["records"] == "the training rows"


def test_without_items_the_training_rows_carry_nothing(sources):
    raw = copy.deepcopy(RAW)
    del raw["examples"]["target"]["items"]
    splits, report, _ = make(records(), Contract("shop", raw), sources)
    assert splits["train"].schema.metadata is None
    assert "items" not in report
    with pytest.raises(DataError, match=r"carry no items, which examples\.target\.items declares\. Run examples again"):
        carried(splits["train"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("select item, description, price from records",
         r"items\.sql: 4 of 4 values of item stand in more than one row, such as '[abcd]'; expected one row an item"),
        ("select item as code, 'x' as description, 1.0 as price from records", r"items\.sql returns no column 'item'"),
        ("select 'a' as item, 'x' as description, -1.0 as price", r"items\.sql row 1: price is -1\.0.*price\.min"),
        ("select null as item, 'x' as description, 1.0 as price", r"items\.sql row 1: item is None.*item\.required"),
        ("select nothing from records", r"items\.sql: Binder Error"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_query_is_told(query, found, sources):
    (sources / "items.sql").write_text(query)
    with pytest.raises(DataError, match=found):
        make(records(), contract_of(), sources)


def test_a_query_that_is_not_there_is_told(sources):
    with pytest.raises(DataError, match=r"other\.sql does not exist; examples\.target\.items\.derive names it"):
        make(records(), contract_of({"derive": "other.sql"}), sources)


def test_items_that_nobody_has_and_columns_without_a_value_are_refused(sources):
    (sources / "items.sql").write_text(
        "select lower(item) || '!' as item, null as description, 1.0 as price from records group by item"
    )
    _, report, _ = make(records(), contract_of(), sources)
    assert report["reasons"] == [
        "items.sql: description has no value. Mend the query, or leave description out",
        "items.sql gives 4 rows, and none of the 4 items of train is in their item. Make the query write ids as "
        "past_items does",
    ]


def test_a_split_without_validation_and_test_is_a_verdict_and_no_crash(sources):
    examples = copy.deepcopy(RAW["examples"])
    examples["split"] |= {"validation_from": "2025-01-01", "test_from": "2025-02-01"}
    _, report, _ = make(records(), contract_of(examples=examples), sources)
    assert not report["passed"]
    assert any(reason.startswith("validation") for reason in report["reasons"])


def test_more_than_a_file_can_carry_is_refused(sources, monkeypatch):
    monkeypatch.setattr(core_items, "MAX_BYTES", 100)
    with pytest.raises(
        DataError, match=r"the columns of 4 items hold [\d,]+ bytes; at most 100 are possible\. Declare"
    ):
        make(records(), contract_of(), sources)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"columns": {}}, "examples.target.items.columns is {}"),
        ({"colums": {}}, "examples.target.items.colums is not a known key. Did you mean 'columns'?"),
        ({"columns": {"item": {"type": "category"}}}, "items.key 'item' is one of"),
        ({"columns": {"past_items": {"type": "items"}}}, "columns.past_items is the name of a column of a row too"),
        (
            {"columns": {"photo": {"type": "image", "width": 8, "height": 8}}},
            "is of type image; expected one of boolean, category, items",
        ),
        ({"columns": {"price": {"type": "nummer"}}}, "columns.price.type is 'nummer'"),
        ({"columns": {"price": {"type": "number", "input": False}}}, "says input: false, and items have no other use"),
    ],
)
def test_what_is_wrong_in_the_contract_is_told(change, found):
    with pytest.raises(ContractError, match=re.escape(found)):
        check(contract_of(change))


def test_a_derived_row_without_dates_cannot_say_what_is_known(sources):
    examples = copy.deepcopy(RAW["examples"])
    del examples["as_of"]
    examples["split"] = {"by": "hash"}
    with pytest.raises(ContractError, match=r"without shop\.examples\.as_of, so nothing says which records are known"):
        check(contract_of(examples=examples))


def test_other_targets_have_no_items():
    examples = copy.deepcopy(RAW["examples"])
    examples["target"] = {"column": "next_items", "type": "category", "items": examples["target"]["items"]}
    with pytest.raises(ContractError, match="no items beside type: category; it belongs to type: ranking"):
        check(contract_of(examples=examples))


# What features makes of them


def test_options_of_item_columns_are_held_against_their_types():
    check_features(contract_of())
    with pytest.raises(ContractError, match=r"shop\.features\.by_column\.price\.scale is 'logg'"):
        check_features(contract_of(features={"by_column": {"price": {"scale": "logg"}}}))


def test_items_are_encoded_in_the_catalogues_order_and_who_has_no_row_is_missing(sources):
    (sources / "items.sql").write_text(ITEMS_SQL.replace("from records", "from records where item <> 'd'"))
    contract = contract_of(features={"by_column": {"description": {"kind": "tokens", "min_count": 1}}})
    splits, _, _ = make(records(), contract, sources)
    fitted = fit_features(splits["train"], contract)
    tokens, dense = fitted.items.arrays["encoded.tokens_0"], fitted.items.arrays["encoded.dense"]
    catalogue = fitted.target["catalogue"]
    words = [{number for number in row if number} for row in tokens.tolist()]
    named = dict(zip(catalogue, words, strict=True))
    assert named["d"] == set()
    assert len(named["a"] & named["b"]) == len(named["a"] & named["c"]) == 1  # MUG; RED
    assert not named["b"] & named["c"]
    assert dense[:, 1].tolist() == [float(item == "d") for item in catalogue]  # "price is missing"
    prices = dict(zip(catalogue, dense[:, 0].tolist(), strict=True))
    assert prices["a"] < prices["b"] < prices["c"]


def test_the_stage_writes_what_models_read_and_the_graph_asks_for_nothing_more(sources):
    import onnx

    contract = contract_of()
    splits, report, _ = make(records(), contract, sources)
    for name in ("train", "validation"):
        pq.write_table(splits[name], sources / f"{name}.parquet")
    (sources / "report.json").write_text(json.dumps({"passed": report["passed"], "reasons": []}))
    YAML().dump({"shop": contract.raw}, sources / "params.yaml")
    places = {"train": "train.parquet", "validation": "validation.parquet", "verdict": "report.json", "out": "features"}
    places |= {"params": "params.yaml", "status": "run"}
    features(["--pipeline", "shop", *(w for name, at in places.items() for w in (f"--{name}", str(sources / at)))])
    out = sources / "features"
    files = ["encode.onnx", "features.json", "train.safetensors", "validation.safetensors"]
    assert sorted(path.name for path in out.iterdir()) == files
    assert [value.name for value in onnx.load(out / "encode.onnx").graph.input] == ["past_items"]
    read = problem_of(json.loads((out / "features.json").read_text()), contract).items
    made = fit_features(splits["train"], contract).items
    assert read.specs == made.specs
    for spec in made.specs:
        assert read.arrays[spec.name].dtype == made.arrays[spec.name].dtype == spec.dtype
        np.testing.assert_array_equal(read.arrays[spec.name], made.arrays[spec.name])


def test_a_fold_of_train_and_validation_keeps_what_train_carries(sources):
    splits, _, _ = make(records(), contract_of(), sources)
    both = pa.concat_tables([splits["train"], splits["validation"]])
    part = both.filter(pa.array(np.arange(both.num_rows) % 2 == 0))
    assert carried(part).equals(carried(splits["train"]))
