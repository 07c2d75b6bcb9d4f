"""Labels that are shares, and rows and classes that count more or less."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from stages.contract import Target
from stages.core.errors import ContractError, DataError
from stages.targets import category

TWO = Target(column="p", soft=["sound", "defective"], weight="w")
THREE = Target(column="cat", soft={"cat": "cat", "dog": "dog", "bird": "bird"})
CELLS = pa.table({"p": [0.0, 1 / 3, 2 / 3, 1.0], "w": [1.0, 0.5, None, 2.0]})


def test_a_share_of_the_second_class_becomes_shares_of_both():
    state = category.fit(TWO, CELLS)
    assert (state["classes"], state["positive"]) == (["sound", "defective"], 1)
    assert state["counts"] == pytest.approx([1.0 + 0.5 * 2 / 3, 0.5 / 3 + 2.0])  # by the rows' weights
    arrays = category.encode(state, CELLS)
    np.testing.assert_allclose(arrays["target"], [[1, 0], [2 / 3, 1 / 3], [1 / 3, 2 / 3], [0, 1]], atol=1e-7)
    assert arrays["weight"].tolist() == [1.0, 0.5, 0.0, 2.0]


def test_a_column_a_class():
    animals = pa.table({"cat": [0.5, 0.0], "dog": [0.25, 1.0], "bird": [0.25, 0.0]})
    state = category.fit(THREE, animals)
    assert state["classes"] == ["cat", "dog", "bird"]
    assert category.encode(state, animals)["target"].tolist() == [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]


def test_shares_that_do_not_add_up_are_refused_with_the_row():
    broken = pa.table({"cat": [0.5, 0.9], "dog": [0.25, 0.9], "bird": [0.25, 0.0]})
    with pytest.raises(DataError, match=r"cat, dog, bird: 1 of 2 rows hold no shares .* row 2 with \[0.9, 0.9, 0.0\]"):
        category.fit(THREE, broken)


def test_weights_below_nothing_are_refused():
    with pytest.raises(DataError, match="w is the weight of rows, and is -1 … 1; expected numbers of 0 and more"):
        category.encode(category.fit(TWO, CELLS), pa.table({"p": [0.0, 1.0], "w": [1.0, -1.0]}))


def test_a_soft_row_is_as_good_as_hard_rows_that_weigh_its_shares():
    hard = {"classes": ["sound", "defective"]}
    outputs = torch.tensor([[0.3, -0.2], [0.3, -0.2]])
    soft = category.loss(hard, outputs[:1], torch.tensor([[0.25, 0.75]]))
    weighed = category.loss(hard, outputs, torch.tensor([0, 1]), torch.tensor([0.25, 0.75]))
    assert float(soft) == pytest.approx(float(weighed))
    chances, one = category.probabilities(outputs.numpy(), {"temperature": 1.0}), np.ones((1, 1))
    state = {"classes": ["sound", "defective"], "positive": 1}
    scores = category.score_functions(state, None, chances[:1], {"target": np.array([[0.25, 0.75]])})
    assert float(scores["log_loss"](one)[0]) == pytest.approx(float(soft), rel=1e-6)
    assert float(scores["accuracy"](one)[0]) == 0.0  # the likeliest class is the second, the guess the first


def test_a_weight_of_a_class_is_a_weight_of_its_rows():
    outputs, truth = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 0, 0, 1, 1])
    state = category.fit(Target(column="y", class_weight="balanced"), pa.table({"y": list("aaaabb")}))
    assert state["class_weight"] == pytest.approx([0.75, 1.5])
    by_row = category.loss({"classes": ["a", "b"]}, outputs, truth, torch.tensor([1.0, 1, 1, 1, 2, 2]))
    assert float(category.loss(state, outputs, truth)) == pytest.approx(float(by_row))
    assert float(category.loss(state, outputs, truth, torch.zeros(6))) == 0.0


def test_balanced_classes_have_one_total_by_the_weights_of_their_rows():
    rows = pa.table({"y": list("aab"), "w": [1.0, 1.0, 10.0]})
    state = category.fit(Target(column="y", class_weight="balanced", weight="w"), rows)
    assert state["counts"] == [2.0, 10.0]
    totals = np.array(state["class_weight"]) * state["counts"]
    assert totals[0] == pytest.approx(totals[1])
    nothing = pa.table({"cat": [0.5], "dog": [0.5], "bird": [0.0]})
    assert category.fit(THREE.model_copy(update={"class_weight": "balanced"}), nothing)["class_weight"][2] == 1.0


def test_a_class_without_a_weight_is_named():
    with pytest.raises(ContractError, match=r"class_weight: 'b' is left out\. Give a weight for each of a, b"):
        category.fit(Target(column="y", class_weight={"a": 1.0}), pa.table({"y": list("aab")}))


def test_weights_of_classes_are_taken_out_of_the_answer_again():
    """A network trained with classes weighed 1 to 9 is calibrated to the shares that the rows really have."""
    generator = np.random.default_rng(0)
    shares = generator.beta(1, 9, 20_000)
    truth = (generator.random(20_000) < shares).astype(np.int64)
    weighed = np.stack([np.log(1 - shares), np.log(9 * shares)], 1)  # what such a network comes to
    state = {"classes": ["a", "b"], "class_weight": [1.0, 9.0]}
    calibration = category.calibrate(weighed, {"target": truth}, state=state)
    assert calibration["shift"][1] == pytest.approx(-np.log(9), abs=0.15)
    assert category.probabilities(weighed, calibration)[:, 1].mean() == pytest.approx(truth.mean(), abs=0.003)


def test_balanced_weights_of_three_classes_and_too_sure_outputs_are_taken_out_again():
    generator = np.random.default_rng(1)
    signal = generator.normal(size=(20_000, 3)) * 1.5
    logits = signal + np.log([0.7, 0.2, 0.1])
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (generator.random((20_000, 1)) > chances.cumsum(1)).sum(1).clip(max=2)
    rows = pa.table({"y": [f"class {place}" for place in truth]})
    state = category.fit(Target(column="y", class_weight="balanced"), rows)
    weighed = 3 * (logits + np.log(state["class_weight"]))  # what such a network comes to, three times too sure
    calibration = category.calibrate(weighed, {"target": truth}, state=state)
    assert calibration["temperature"] == pytest.approx(3.0, rel=0.05)
    wanted = np.log(state["class_weight"][0]) - np.log(state["class_weight"])
    np.testing.assert_allclose(calibration["shift"], wanted, atol=0.1)
    np.testing.assert_allclose(category.probabilities(weighed, calibration), chances, atol=0.03)
