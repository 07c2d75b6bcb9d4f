"""Labels in; classes, loss, calibration and the drawn decision out."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contract import Target
from stages.contract.decide import Decide
from stages.contract.loader import seam
from stages.core.errors import ContractError, DataError
from stages.core.graph import run
from stages.targets import category, target_module

STATE = {"type": "category", "column": "buys", "classes": ["no", "yes"], "positive": 1, "counts": [3, 1]}
CALIBRATION = {"temperature": 2.0}


def test_each_target_type_is_tested_here():
    assert seam("targets") == ["category", "number", "ranking"]
    assert target_module(Target(column="buys")) is category


def labels(*values):
    return pa.table({"buys": list(values)})


def test_classes_stand_in_alphabetical_order_and_the_last_is_positive():
    assert category.fit(Target(column="buys"), labels("yes", "no", "no", "no")) == STATE
    assert category.fit(Target(column="buys", positive="no"), labels("yes", "no"))["positive"] == 0
    assert category.fit(Target(column="buys"), labels(True, False, True))["classes"] == ["false", "true"]


def test_one_class_teaches_nothing():
    with pytest.raises(DataError, match="the training rows have one class of buys"):
        category.fit(Target(column="buys"), labels("yes", "yes"))


def test_an_unknown_positive_class_is_named_with_a_suggestion():
    with pytest.raises(ContractError, match=r"examples\.target\.positive is 'yess'\. Did you mean 'yes'"):
        category.fit(Target(column="buys", positive="yess"), labels("yes", "no"))


def test_labels_become_places_and_unseen_ones_are_refused():
    assert category.encode(STATE, labels("yes", "no", "yes"))["target"].tolist() == [1, 0, 1]
    assert category.encode(STATE, labels())["target"].tolist() == []
    with pytest.raises(DataError, match=r"buys has classes that no training row has: \['maybe'\]"):
        category.encode(STATE, labels("yes", "maybe"))


def test_loss_is_cross_entropy():
    import torch

    outputs = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert float(category.loss(STATE, outputs, torch.tensor([0, 1]))) == pytest.approx(
        (np.log(2) + np.log1p(np.exp(-2))) / 2
    )


def test_calibration_finds_the_temperature_that_made_the_labels():
    generator = np.random.default_rng(0)
    honest = generator.normal(size=(20_000, 3)) * 2
    chances = category.probabilities(honest, {"temperature": 1.0})
    truth = (generator.random(20_000)[:, None] > chances.cumsum(1)).sum(1)
    assert category.calibrate(honest * 3, {"target": truth}, state=STATE)["temperature"] == pytest.approx(3.0, rel=0.05)
    assert category.calibrate(honest / 2, {"target": truth}, state=STATE)["temperature"] == pytest.approx(0.5, rel=0.05)


def test_smaller_is_better_for_losses_alone():
    assert [category.sign(name) for name in ("roc_auc", "log_loss", "brier", "value", "accuracy")] == [1, -1, -1, 1, 1]


outputs_of_two = st.lists(
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=2), min_size=1, max_size=20
).map(lambda rows: np.array(rows, np.float32))


@settings(max_examples=40, deadline=None)
@given(outputs=outputs_of_two)
def test_the_drawn_decision_is_the_one_numpy_takes(outputs):
    decide = Decide(currency="GBP", value={"call": {"no": -4.0, "yes": 5.0}, "skip": {"no": 0.0, "yes": 0.0}})
    found = run(category.nodes(STATE, CALIBRATION, decide, "shop.decide"), {"outputs": outputs})
    chances = category.probabilities(outputs, CALIBRATION)
    worth = chances @ [[-4.0, 0.0], [5.0, 0.0]]
    np.testing.assert_allclose(found["probabilities"], chances, atol=1e-6)
    np.testing.assert_allclose(found["expected_value"], worth.max(1), atol=1e-5)
    clear = np.abs(worth[:, 0] - worth[:, 1]) > 1e-5
    assert found["decision"][clear].tolist() == np.where(worth.argmax(1) == 0, "call", "skip")[clear].tolist()


def test_without_values_the_decision_is_the_most_probable_class():
    found = run(category.nodes(STATE, CALIBRATION, Decide(), ""), {"outputs": np.array([[1, 0], [0, 1]], np.float32)})
    assert sorted(found) == ["decision", "probabilities"]
    assert found["decision"].tolist() == ["no", "yes"]
    none = run(category.nodes(STATE, CALIBRATION, Decide(), ""), {"outputs": np.zeros((0, 2), np.float32)})
    assert none["decision"].shape == (0,)


def test_a_contract_names_the_outputs_that_the_graph_has():
    decide = Decide(currency="GBP", value={"call": {"no": -4.0, "yes": 5.0}})
    described = category.describe(STATE, decide)
    graph = category.nodes(STATE, CALIBRATION, decide, "").graph
    assert [output["name"] for output in described["outputs"]] == [value.name for value in graph.output]
    assert described["target"] == "buys"
