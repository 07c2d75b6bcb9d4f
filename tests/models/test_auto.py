"""`model: auto`: which candidate is chosen, why, and what is kept when a budget or a kill cuts in."""

import json

import numpy as np
import pytest

from stages.contract.loader import Contract
from stages.contract.section import parse
from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError, TrainingError
from stages.core.problem import Problem
from stages.core.store import Store
from stages.targets import category
from stages.training import auto

SPEC = ArraySpec("encoded.dense", "dense", ("a", "b"), 2)
STATE = {"type": "category", "column": "y", "classes": ["no", "yes"], "positive": 1, "counts": [1, 1]}
PROBLEM = Problem((SPEC,), category, STATE)
MLP = {"model": "mlp", "options": {"hidden": [16], "dropout": 0.0}, "epochs": 30, "learning_rate": 0.03}


def rows(num_rows, seed, shape):
    """Two numbers; `line`: the sign of the first decides; `ring`: the distance from the middle does."""
    generator = np.random.default_rng(seed)
    dense = generator.normal(size=(num_rows, 2)).astype(np.float32)
    truth = dense[:, 0] > 0 if shape == "line" else (dense**2).sum(1) > 1.4
    flipped = generator.random(num_rows) < 0.05
    return {"encoded.dense": dense, "target": (truth ^ flipped).astype(np.int64), "group": np.arange(num_rows)}


def splits_of(shape):
    return {"train": rows(800, 1, shape), "validation": rows(600, 2, shape)}


def section_of(**raw):
    return parse(auto.Auto, {"model": "auto", "threads": 1, "seed": 3, **raw}, "shop.train")


def best(shape, **raw):
    raw = {"candidates": {"linear": {}, "mlp": MLP, "boosting": {"options": {"trees": 60}}}, **raw}
    return auto.fit_best(section_of(**raw), bench(shape), say=lambda text: None)


def bench(shape):
    return auto.Bench(PROBLEM, splits_of(shape), ["inputs"], Store())


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_where_a_line_decides_the_smallest_model_is_chosen_among_equals():
    chosen = best("line", margin=0.03)
    assert chosen.evidence["chosen"] == "linear"
    found = chosen.evidence["candidates"]
    assert set(found) == {"linear", "mlp", "boosting"}
    assert found["linear"]["bytes"] == min(entry["bytes"] for entry in found.values())
    assert found["linear"]["minus_best"]["low"] >= -0.03
    assert (chosen.folder / "network.onnx").stat().st_size == found["linear"]["bytes"]


def test_where_a_ring_decides_a_line_is_refused_with_the_evidence():
    chosen = best("ring", margin=0.02)
    assert chosen.evidence["chosen"] in ("mlp", "boosting")
    line = chosen.evidence["candidates"]["linear"]
    assert line["acceptable"] is False
    assert line["minus_best"]["high"] < -0.1
    assert chosen.evidence["metric"] == "roc_auc"
    assert chosen.evidence["depends_on_time"] is False


def test_the_same_candidates_give_the_same_evidence_with_no_time_in_it():
    first, second = best("ring").evidence, best("ring").evidence
    assert first == second
    assert "seconds" not in json.dumps(first)


def test_a_budget_leaves_out_what_it_cuts_and_says_so(kept):
    best("ring", candidates={"linear": {}})
    chosen = best("ring", candidates={"linear": {}, "mlp": MLP, "boosting": {}}, budget_seconds=1e-9)
    assert chosen.evidence["left_out"] == dict.fromkeys(("mlp", "boosting"), "the budget was at its end")
    assert chosen.evidence["depends_on_time"] is True
    assert chosen.evidence["chosen"] == "linear"
    assert "mlp left out: the budget was at its end" in auto.describe(chosen.evidence)


def test_what_is_in_the_store_costs_its_seconds_but_is_not_fitted_again(kept):
    best("ring")
    times = {path: path.stat().st_mtime_ns for path in (kept / "candidates").glob("*/network.onnx")}
    assert len(times) == 3
    said = []
    section = section_of(candidates={"linear": {}, "mlp": MLP, "boosting": {"options": {"trees": 61}}})
    auto.fit_best(section, bench("ring"), say=said.append)
    assert {text.split(":")[0] for text in said} == {"candidate 3 of 3, boosting"}
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_budget_that_ends_within_a_candidate_keeps_its_checkpoint_for_the_next_time(kept, monkeypatch):
    import stages.training.loop as loop

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    many = {**MLP, "epochs": 100_000}
    chosen = best("ring", candidates={"linear": {}, "mlp": many}, budget_seconds=3.0)
    assert chosen.evidence["left_out"] == {"mlp": "the budget was at its end"}
    assert len(list((kept / "checkpoints").glob("*/run.safetensors"))) == 1


def test_a_candidate_that_diverges_is_left_out_with_its_reason():
    wild = {**MLP, "learning_rate": 1e30, "epochs": 3, "schedule": "constant"}
    chosen = best("line", candidates={"linear": {}, "mlp": wild})
    assert chosen.evidence["chosen"] == "linear"
    assert "Lower train.learning_rate" in chosen.evidence["left_out"]["mlp"]
    assert chosen.evidence["depends_on_time"] is False
    with pytest.raises(TrainingError, match="model: auto could fit no candidate"):
        best("line", candidates={"mlp": wild})


def test_by_default_every_model_that_suits_is_a_candidate():
    trains = auto.default_trains(section_of(epochs=7), PROBLEM)
    assert list(trains)[:2] == ["boosting", "linear"]
    assert "mlp" in trains
    assert {"prior", "convnet", "svm", "hog"}.isdisjoint(trains)
    assert {train.epochs for train in trains.values()} == {7}
    assert auto.has_defaults("mlp")


PICTURE = ArraySpec("encoded.image_0", "image", ("photo",), 9 * 7, (1, 9, 7), (0.4,), (0.3,))


def test_a_model_with_a_file_of_weights_is_tried_by_default_only_where_that_file_is(tmp_path, monkeypatch):
    from stages.models.pretrained import FILE

    monkeypatch.chdir(tmp_path)
    pictures = Problem((PICTURE,), category, STATE)
    assert "pretrained" not in auto.default_trains(section_of(), pictures)
    (tmp_path / "pretrained").mkdir()
    (tmp_path / "pretrained" / FILE).touch()
    assert "pretrained" in auto.default_trains(section_of(), pictures)


def test_only_a_candidate_that_nobody_declared_may_be_one_that_the_contract_forbids(monkeypatch):
    """A mixup of words, which the loop refuses; linear is fitted without it."""
    monkeypatch.setattr(auto, "seam", lambda name: ["linear", "mlp"])
    words = ArraySpec("encoded.set_0", "set", ("words",), 9)
    splits = {name: {**arrays, words.name: np.ones((len(arrays["target"]), 2), np.int32)}
              for name, arrays in splits_of("line").items()}  # fmt: skip
    described = auto.Bench(Problem((SPEC, words), category, STATE), splits, ["inputs"], Store())
    chosen = auto.fit_best(section_of(mixup=0.5), described, say=lambda text: None)
    assert chosen.evidence["chosen"] == "linear"
    assert "words is of the kind set" in chosen.evidence["left_out"]["mlp"]
    with pytest.raises(ContractError, match="words is of the kind set"):
        auto.fit_best(section_of(mixup=0.5, candidates={"linear": {}, "mlp": {}}), described, say=lambda text: None)


def test_a_metric_that_three_classes_do_not_have_is_told_before_anything_is_fitted():
    three = Problem((SPEC,), category, {**STATE, "classes": ["a", "b", "c"], "counts": [1] * 3})
    said = []
    with pytest.raises(ContractError, match=r"train\.metric is 'roc_auc'; y has accuracy, log_loss, brier, macro_f1"):
        auto.fit_best(
            section_of(metric="roc_auc", candidates={"linear": {}}),
            auto.Bench(three, splits_of("line"), ["inputs"], Store()), say=said.append,
        )  # fmt: skip
    assert said == []


def contract_of(train):
    columns = {"a": {"type": "number"}, "y": {"type": "category"}}
    return Contract("shop", {"columns": columns, "examples": {"target": {"column": "y"}}, "train": train})


@pytest.mark.parametrize(
    ("train", "complaint"),
    [
        ({"model": "auto", "candidate": {}}, r"shop\.train\.candidate is not a known key\. Did you mean 'candidates'"),
        ({"model": "auto", "candidates": {"mpl": {}}}, r"shop\.train\.candidates\.mpl is 'mpl'; .* Did you mean 'mlp'"),
        (
            {"model": "auto", "candidates": {"mlp": {"epoch": 3}}},
            r"shop\.train\.candidates\.mlp\.epoch is not a known key\. Did you mean 'epochs'",
        ),
        ({"model": "auto", "candidates": {"mlp": {"options": {"hiden": []}}}}, r"options\.hiden is not a known key"),
        ({"model": "auto", "metric": "acuracy"}, r"shop\.train\.metric is 'acuracy'\. Did you mean 'accuracy'"),
        ({"model": "auto", "metric": "value"}, r"shop\.train\.metric is 'value'"),
        ({"model": "mlp", "candidates": {}}, r"shop\.train\.candidates is not a known key"),
    ],
)
def test_a_mistake_in_the_section_is_named(train, complaint):
    from stages.train import check

    with pytest.raises(ContractError, match=complaint):
        check(contract_of(train))


def test_a_number_has_no_classes_to_smooth():
    from stages.train import check

    columns = {"a": {"type": "number"}, "y": {"type": "number"}}
    examples = {"target": {"column": "y", "type": "number"}}
    train = {"model": "mlp", "label_smoothing": 0.1}
    with pytest.raises(ContractError, match=r"label_smoothing is 0\.1, and smooths classes; y is a number"):
        check(Contract("shop", {"columns": columns, "examples": examples, "train": train}))


def test_a_candidate_may_have_a_name_of_its_own():
    section = section_of(epochs=5, candidates={"wide": {"model": "mlp", "options": {"hidden": [512]}}, "mlp": {}})
    trains = auto.trains_of(section, "shop.train")
    assert [(name, train.model, train.epochs) for name, train in trains.items()] == [
        ("wide", "mlp", 5),
        ("mlp", "mlp", 5),
    ]
