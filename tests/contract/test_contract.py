"""params.yaml in: typed sections, or every mistake with its key, what was found and what is allowed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stages.clean import Section as Clean
from stages.contract import Contract, load
from stages.contract.decide import Decide
from stages.contract.loader import choose, declare, read, seam
from stages.core.errors import ContractError
from stages.examples import Section as Examples
from stages.training import Train

SHOP = """
pipelines: {shop: {}}
shop:
  fetch: {from: "data/shop.csv"}
  ingest: {format: csv}
  columns:
    customer: {type: id, required: true}
    units: {type: number, min: 0, max: 1_000}
    country: {type: category}
    buys: {type: category, required: true, values: [yes, no]}
    secret: {type: number, input: false}
  clean: {max_rejected: {default: 1e-3}}
  validate: {rows: {min: 10}}
  examples: {target: {column: buys, positive: yes}}
  features: {}
  train: {model: mlp, epochs: 3, learning_rate: 1e-3}
  evaluate: {metric: roc_auc}
  decide: {}
  compress: {}
  assay: {}
  package: {}
"""


@pytest.fixture
def params(tmp_path):
    """Writes SHOP with some text replaced; returns the path."""

    def write(*changes: tuple[str, str], text: str = SHOP) -> Path:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def mistake(contract, ask) -> str:
    with pytest.raises(ContractError) as caught:
        ask(contract)
    return str(caught.value)


# Sections


def test_a_sound_contract_becomes_typed_and_frozen_sections(params):
    shop = load(params(), "shop")
    train = shop.section("train", Train)
    assert (train.model, train.epochs, train.learning_rate) == ("mlp", 3, 0.001)
    assert train.recipe.batch_size == 256
    with pytest.raises(ValueError, match="frozen"):
        train.epochs = 4
    assert shop.section("clean", Clean).max_rejected == {"default": 0.001}
    assert list(shop.columns) == ["customer", "units", "country", "buys", "secret"]
    assert list(shop.input_columns) == ["units", "country"]
    assert shop.target.positive == "yes"


def test_yaml_is_read_as_version_1_2(params):
    path = params(
        text="shop: {a: 1e-3, b: no, c: 0o17, d: 017, e: on, f: 1_000, g: 12:30, h: ~, i: .5, j: 'yes', k: yes}"
    )
    assert read(path)["shop"] == {
        "a": 0.001, "b": "no", "c": 15, "d": 17, "e": "on", "f": 1000,
        "g": "12:30", "h": None, "i": 0.5, "j": "yes", "k": "yes",
    }  # fmt: skip


def test_a_misspelt_key_is_named_with_its_path_and_a_suggestion(params):
    shop = load(params(("epochs: 3", "epoch: 3")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)).startswith(
        "shop.train.epoch is not a known key. Did you mean 'epochs'? Allowed: epochs, budget_seconds, batch_size"
    )


def test_an_unknown_key_below_a_section_is_named_with_what_is_allowed_there(params):
    shop = load(params(("positive: yes}}", "positive: yes}, split: {by: hash, validaton: 0.1}}")), "shop")
    assert mistake(shop, lambda c: c.section("examples", Examples)) == (
        "shop.examples.split.validaton is not a known key. Did you mean 'validation'? "
        "Allowed: by, key, column, validation, test, test_from, validation_from, gap_days, test_where, seed"
    )


def test_every_mistake_of_a_section_is_told_at_once(params):
    shop = load(params(("epochs: 3", "epochs: 0, threads: many, device: gpu, seed: 1.5")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)).splitlines() == [
        "shop.train.epochs is 0; expected greater than or equal to 1",
        "shop.train.device is 'gpu'; expected 'auto', 'cpu' or 'cuda'",
        "shop.train.threads is 'many'; expected a valid integer",
        "shop.train.seed is 1.5; expected a valid integer",
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'3'", "shop.train.epochs is '3'; expected a valid integer"),
        ("true", "shop.train.epochs is True; expected a valid integer"),
        (".nan", "shop.train.epochs is nan; expected a valid integer"),
    ],
)
def test_types_are_strict(value, expected, params):
    shop = load(params(("epochs: 3", f"epochs: {value}")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)) == expected


def test_infinity_and_nan_are_no_numbers_of_a_contract(params):
    for value in (".inf", ".nan"):
        shop = load(params(("learning_rate: 1e-3", f"learning_rate: {value}")), "shop")
        assert "expected a finite number" in mistake(shop, lambda c: c.section("train", Train))


def test_a_batch_of_one_row_is_refused(params):
    shop = load(params(("epochs: 3", "batch_size: 1")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)) == (
        "shop.train.batch_size is 1; expected greater than or equal to 2"
    )


def test_a_missing_section_is_named(params):
    shop = load(params(("  train: {model: mlp, epochs: 3, learning_rate: 1e-3}\n", "")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)) == (
        "shop.train is missing. Add it to params.yaml; an empty section is {}"
    )
    assert mistake(shop, lambda c: c.get("examples.target.colum")) == (
        "shop.examples.target.colum is missing. Did you mean 'column'? Add it to params.yaml; an empty section is {}"
    )


@pytest.mark.parametrize("found", ["", "[]", "5", "word"])
def test_a_section_that_is_no_mapping_is_shown(found, params):
    shop = load(params(("train: {model: mlp, epochs: 3, learning_rate: 1e-3}", f"train: {found}")), "shop")
    assert mistake(shop, lambda c: c.section("train", Train)).startswith("shop.train is ")
    broken = load(params(("examples: {target: {column: buys, positive: yes}}", f"examples: {found}")), "shop")
    assert mistake(broken, lambda c: c.target).startswith("shop.examples is ")


def test_an_unknown_section_is_refused_with_a_suggestion(params):
    with pytest.raises(
        ContractError, match=r"shop\.compres is not a known section\. Did you mean 'compress'\? Allowed: fetch, ingest"
    ):
        load(params(("  compress: {}", "  compres: {}")), "shop")


def test_an_unknown_pipeline_is_refused_with_a_suggestion(params):
    with pytest.raises(ContractError, match=r"params.yaml has no section 'shopp'\. Did you mean 'shop'\? It has: shop"):
        load(params(), "shopp")


# Columns and target


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "{type: id, required: true}",
            "{type: ident}",
            "shop.columns.customer.type is 'ident'; expected one of audio, boolean, category, id,",
        ),
        (
            "{type: id, required: true}",
            "{type: [id]}",
            "shop.columns.customer.type is ['id']; expected one of audio, boolean",
        ),
        (
            "{type: id, required: true}",
            "id",
            "shop.columns.customer is 'id'; expected a mapping with a type: {type: audio | boolean | ",
        ),
        ("min: 0", "minn: 0", "shop.columns.units.minn is not a known key. Did you mean 'min'?"),
        ("min: 0", "min: low", "shop.columns.units.min is 'low'; expected a valid number"),
        (
            "column: buys",
            "column: buy",
            "shop.examples.target.column is 'buy', which is not declared. Did you mean 'buys'? Declared: customer,",
        ),
        (
            "target: {column: buys, positive: yes}",
            "leaks: {}",
            "shop.examples.target is missing; declare it as {column: <name>, type: category}",
        ),
        ("positive: yes", "type: rank", "shop.examples.target.type is 'rank'; expected 'category', 'number' or"),
        ("positive: yes", "type: ranking", "shop.examples.target is {'column': 'buys', 'type': 'ranking'}; expected a"),
        ("positive: yes", "weight: byus", "shop.examples.target.weight is 'byus', which is not declared."),
        ("positive: yes", "interval: 0.8", "shop.examples.target is {'column': 'buys', 'interval': 0.8}; expected no"),
        (
            "positive: yes}",
            "positive: yes}, derive: derive.sql",
            "shop.examples.derive is given without shop.examples.columns",
        ),
        (
            "positive: yes}",
            "positive: yes}, columns: {a: {type: id}}",
            "shop.examples.columns is given without shop.examples.derive",
        ),
        ("[yes, no]", "{yes: [Y], no: [Y]}", "shop.columns.buys is {"),
        ("[yes, no]", "{yes: [no], no: []}", "shop.columns.buys is {"),
        ("[yes, no]", "[yes, None]", "shop.columns.buys is {"),
    ],
)
def test_mistakes_in_columns_and_target(old, new, expected, params):
    assert mistake(load(params((old, new)), "shop"), lambda c: c.target).startswith(expected)


def test_a_spelling_of_two_values_is_named():
    with pytest.raises(ContractError, match="expected values whose spellings differ; 'Y' stands there twice"):
        declare("c", {"type": "category", "values": {"yes": ["Y"], "no": ["Y"]}})
    with pytest.raises(ContractError, match="expected values that are not in `missing`, as 'NA' is"):
        declare("c", {"type": "category", "values": {"Namibia": ["NA"]}})
    assert declare("c", {"type": "category", "missing": [""], "values": ["NA"]}).values == {"NA": []}


@pytest.mark.parametrize("found", ["", "{}", "[a]"])
def test_columns_must_be_declared(found, params):
    text = SHOP[: SHOP.index("  columns:")] + f"  columns: {found}\n" + SHOP[SHOP.index("  clean:") :]
    assert "expected a mapping of column names to {type: …}" in mistake(
        load(params(text=text), "shop"), lambda c: c.columns
    )


@pytest.mark.parametrize("name", ["outputs", "probabilities", "decision", "encoded.dense", "net/x", "_group"])
def test_an_input_cannot_have_a_name_that_the_graph_uses(name, params):
    shop = load(params(("country:", f"{name}:")), "shop")
    assert mistake(shop, lambda c: c.input_columns).startswith(f"shop: a model's input cannot be named '{name}'")


def test_derived_examples_have_columns_of_their_own(params):
    shop = load(
        params(
            (
                "positive: yes}",
                "positive: yes}, derive: derive.sql, columns: {buys: {type: boolean}, n: {type: number}}",
            )
        ),
        "shop",
    )
    assert list(shop.input_columns) == ["n"]
    assert list(shop.columns) == ["customer", "units", "country", "buys", "secret"]


def test_modules_of_a_seam_are_found_by_looking():
    assert seam("columns") == ["audio", "boolean", "category", "id", "image", "items", "number", "text", "timestamp"]
    assert choose("columns", "id", "x").__name__ == "stages.columns.id"
    with pytest.raises(ContractError, match="x is '_parse'; expected one of audio, boolean"):
        choose("columns", "_parse", "x")
    with pytest.raises(ContractError, match="expected one of"):
        choose("columns", "../core/cli", "x")


# Decide


def test_worth_is_a_matrix_of_classes_and_actions():
    decide = Decide(value={"call": {"yes": 5.0, "no": -4.0}, "skip": {"yes": 0.0, "no": 1.0}})
    actions, worth = decide.matrix(["no", "yes"], "shop.decide")
    assert actions == ["call", "skip"]
    assert worth.tolist() == [[-4.0, 1.0], [5.0, 0.0]]
    actions, worth = Decide().matrix(["no", "yes"], "shop.decide")
    assert actions == ["no", "yes"]
    np.testing.assert_array_equal(worth, np.eye(2))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"yes": 5.0}, "shop.decide.value.call has no value for the class 'no'; give one for each of no, yes"),
        (
            {"yes": 5.0, "no": 0.0, "noo": 1.0},
            "shop.decide.value.call.noo is not a class of the target. Did you mean 'no'? Classes: no, yes",
        ),
    ],
)
def test_worth_that_does_not_fit_the_classes_is_refused(values, expected):
    assert mistake(Decide(value={"call": values}), lambda d: d.matrix(["no", "yes"], "shop.decide")) == expected


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{currency: pounds}", "shop.decide.currency is 'pounds'; expected String should have at most 3 characters"),
        ("{value: {call: {yes: much}}}", "shop.decide.value.call.yes is 'much'; expected a valid number"),
        ("{value: {call: 5}}", "shop.decide.value.call is 5; expected a valid dictionary"),
        ("{values: {}}", "shop.decide.values is not a known key. Did you mean 'value'? Allowed: currency, value"),
    ],
)
def test_mistakes_in_decide(section, expected, params):
    assert (
        mistake(load(params(("decide: {}", f"decide: {section}")), "shop"), lambda c: c.section("decide", Decide))
        == expected
    )


# Files that are not what they seem


@pytest.mark.parametrize(
    "text",
    [
        "shop: !!python/object/apply:os.system ['touch /tmp/ingot-was-here']",
        "shop: !!python/name:os.system",
        "shop: {a: 1, a: 2}",
        "shop: [1, 2",
        "shop: *nothing",
        "\tshop: 1",
        "shop: \x01",
    ],
)
def test_what_is_not_plain_yaml_is_refused(text, params):
    with pytest.raises(ContractError, match="is not valid YAML"):
        read(params(text=text))
    assert not Path("/tmp/ingot-was-here").exists()


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"shop: {a: \xff\xfe}")
    with pytest.raises(ContractError, match="is not valid YAML"):
        read(tmp_path / "params.yaml")


def test_aliases_that_multiply_are_refused(params):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ContractError, match="stands for more than 1048576 values; its aliases multiply"):
        read(params(text="\n".join(levels)))


def test_an_alias_of_itself_is_refused(params):
    with pytest.raises(ContractError, match="nested too deeply, or holds an alias of itself"):
        read(params(text="shop: &shop {again: *shop}"))


def test_nesting_past_reason_is_refused(params):
    with pytest.raises(ContractError, match="nested too deeply"):
        read(params(text="shop: " + "[" * 1000 + "]" * 1000))


def test_honest_aliases_and_merges_are_read(params):
    text = "base: &base {epochs: 3}\nshop: {train: {<<: *base, model: mlp}}"
    assert read(params(text=text))["shop"] == {"train": {"epochs": 3, "model": "mlp"}}


def test_a_file_that_is_absent_too_large_or_no_mapping_is_refused(tmp_path, params):
    with pytest.raises(ContractError, match=r"does not exist\. Run from the project's root"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ContractError, match="is larger than 1048576 bytes"):
        read(params(text="# " + "x" * (1 << 20)))
    for text in ("", "- a\n- b", "word"):
        with pytest.raises(ContractError, match="expected a mapping of pipelines"):
            read(params(text=text))


# The command


def check(path: Path, *pipelines: str) -> tuple[int, str, str]:
    """Run it as a user does."""
    command = [sys.executable, "-m", "stages.contract", "check", *pipelines, "--params", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_check_says_sound_and_exits_with_0(params):
    assert check(params()) == (0, "shop: sound\n", "")


def test_check_lists_every_mistake_of_every_section_and_exits_with_2(params):
    code, out, err = check(
        params(
            ("type: id,", "type: ident,"),
            ("min: 0", "minn: 0"),
            ("epochs: 3", "epoch: 3"),
            ("metric: roc_auc", "metrics: roc_auc"),
            ("decide: {}", "decide: {currency: pounds}"),
            ("  assay: {}\n", ""),
            ("pipelines: {shop: {}}", "pipelines: {shop: {}, stor: {}}"),
        )
    )
    assert code == 2
    assert out == "shop: 6 mistakes\nstor: 1 mistakes\n"
    keys = [line.split()[0] for line in err.splitlines()]
    assert sorted(keys[:-1]) == sorted(
        ["shop.columns.customer.type", "shop.columns.units.minn", "shop.train.epoch", "shop.evaluate.metrics",
         "shop.decide.currency", "shop.assay"]
    )  # fmt: skip
    assert "has no section 'stor'" in err.splitlines()[-1]


def test_the_projects_own_params_are_sound():
    root = Path(__file__).parents[2]
    content = read(root / "params.yaml")
    from stages.contract.__main__ import check as mistakes

    assert {name: mistakes(Contract(name, content[name])) for name in content["pipelines"]} == {
        name: [] for name in content["pipelines"]
    }


@pytest.mark.parametrize(
    ("stage", "section", "complaint"),
    [
        ("clean", {"max_rejected": {"agee.required": 0.3}}, "shop.clean.max_rejected.agee.required is no rule"),
        (
            "validate",
            {"max_missing": {"agee": 0.3}},
            "shop.validate.max_missing.agee is not a declared column. Did you",
        ),
        ("evaluate", {"metric": "roc_acu"}, "shop.evaluate.metric is 'roc_acu'. Did you mean 'roc_auc'?"),
        (
            "assay",
            {"gates": [{"metric": "roc_acu", "at_least": 0.5}]},
            "shop.assay.gates.0.metric is 'roc_acu'. Did you",
        ),
    ],
)
def test_what_a_section_names_must_exist(stage: str, section: dict[str, object], complaint: str) -> None:
    from importlib import import_module

    columns = {"age": {"type": "number"}, "buys": {"type": "category"}}
    contract = Contract(
        "shop", {"columns": columns, "examples": {"target": {"column": "buys"}}, "decide": {}, stage: section}
    )
    with pytest.raises(ContractError) as failure:
        import_module(f"stages.{stage}").check(contract)
    assert str(failure.value).startswith(complaint)


@pytest.mark.parametrize("declared", [{"type": "id"}, {"type": "number"}, {"type": "timestamp"}])
def test_what_a_bundle_knows_of_a_column_says_personal_only_where_it_is_true(declared):
    plain = declare("shop.columns.c", declared).describe("c")
    assert "personal" not in plain
    assert declare("shop.columns.c", {**declared, "personal": True}).describe("c") == {**plain, "personal": True}
