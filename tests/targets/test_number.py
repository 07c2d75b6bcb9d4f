"""Numbers in; standardised losses, conformal intervals, scores and the drawn answer out."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.contract import Target
from stages.contract.decide import Decide
from stages.core.errors import ContractError, DataError
from stages.core.graph import run
from stages.targets import number

STATE = {"type": "number", "column": "late", "loss": "squared", "interval": 0.8, "center": 10.0, "scale": 4.0}


def target(**declared):
    return Target(column="late", type="number", **declared)


def table(values, **more):
    return pa.table({"late": pa.array(values, pa.float64()), **more})


def test_the_state_is_the_mean_or_the_median_of_the_training_rows():
    values = [0.0, 0.0, 0.0, 2.0, 18.0]
    squared = number.fit(target(interval=0.5), table(values))
    assert (squared["center"], squared["scale"]) == (4.0, pytest.approx(7.0427267))
    absolute = number.fit(target(loss="absolute", interval=0.5), table(values))
    assert (absolute["center"], absolute["scale"]) == (0.0, 4.0)


def test_one_value_teaches_nothing():
    with pytest.raises(DataError, match="all training rows have the same late"):
        number.fit(target(), table([3.0, 3.0]))


def test_the_loss_is_the_points_and_two_pinballs():
    outputs, truth = torch.tensor([[1.0, -1.0, 1.5], [0.0, 0.0, 0.0]]), torch.tensor([18.0, 10.0])
    # row 1 stands at 2: point (2 - 1)², low 0.1 · 3, high 0.9 · 0.5; row 2 is met exactly
    assert float(number.loss(STATE, outputs, truth)) == pytest.approx((1.0 + 0.3 + 0.45) / 2)
    assert float(number.loss({**STATE, "loss": "absolute"}, outputs, truth)) == pytest.approx((1 + 0.75) / 2)
    assert float(number.loss({**STATE, "loss": "huber"}, outputs, truth)) == pytest.approx((0.5 + 0.75) / 2)


def test_a_row_counts_by_its_weight():
    outputs, truth = torch.zeros(3, 3), torch.tensor([14.0, 10.0, 6.0])
    twice = number.loss(STATE, outputs[[0, 0, 1]], truth[[0, 0, 1]])
    assert float(number.loss(STATE, outputs, truth, torch.tensor([2.0, 1.0, 0.0]))) == pytest.approx(float(twice))
    assert float(number.loss(STATE, outputs, truth, torch.zeros(3))) == 0.0


@pytest.mark.parametrize("interval", [0.5, 0.8, 0.95])
def test_the_interval_holds_its_share_of_new_rows(interval):
    """Ends that are far too narrow, on rows whose spread differs: held after calibration, on average of 40 draws."""
    generator, held = np.random.default_rng(0), []
    state = {**STATE, "interval": interval}
    for _ in range(40):
        spread = generator.uniform(0.5, 2.0, 1400)
        truth = 10 + 4 * spread * generator.standard_normal(1400)
        outputs = np.stack([0 * spread, -0.1 * spread, 0.1 * spread], 1)
        seen, new = slice(0, 400), slice(400, None)
        calibration = number.calibrate(outputs[seen], {"target": truth[seen]}, state=state)
        found = number.answer(outputs[new], calibration, state=state, arrays={})
        held.append(((found[:, 1] <= truth[new]) & (truth[new] <= found[:, 2])).mean())
    assert interval - 0.005 < np.mean(held) < interval + 0.02


def test_few_rows_widen_to_the_farthest_of_them():
    outputs, truth = np.zeros((3, 3)), np.array([10.0, 14.0, -2.0])
    assert number.calibrate(outputs, {"target": truth}, state=STATE) == {"widen": 3.0}


def test_scores_are_those_of_scikit_learn():
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    generator = np.random.default_rng(1)
    truth, weight = generator.normal(1000, 5, 60), generator.integers(0, 4, 60).astype(np.float32)
    answer = np.stack([truth + generator.normal(0, 2, 60), truth - 1, truth + generator.normal(1, 1, 60)], 1)
    found = {
        name: float(score(weight[None])[0])
        for name, score in number.score_functions(STATE, None, answer, {"target": truth}).items()
    }
    given = (truth, answer[:, 0])
    assert found["mean_absolute_error"] == pytest.approx(mean_absolute_error(*given, sample_weight=weight))
    assert found["root_mean_squared_error"] == pytest.approx(root_mean_squared_error(*given, sample_weight=weight))
    assert found["r2"] == pytest.approx(r2_score(*given, sample_weight=weight), rel=1e-6)
    inside = answer[:, 2] >= truth
    assert found["coverage"] == pytest.approx(np.average(inside, weights=weight))
    beyond = np.where(inside, 0.0, truth - answer[:, 2]) / 0.1
    assert found["interval_score"] == pytest.approx(np.average(answer[:, 2] - answer[:, 1] + beyond, weights=weight))
    assert set(found) == set(number.metric_names(STATE, False)) == set(number.METRICS)
    assert [number.sign(name) for name in ("mean_absolute_error", "r2", "coverage")] == [-1, 1, 1]


@settings(max_examples=40, deadline=None)
@given(
    outputs=st.lists(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1, max_size=20),
    widen=st.floats(-2, 2, width=32),
)
def test_the_drawn_answer_is_the_one_numpy_gives_and_its_interval_holds_the_point(outputs, widen):
    given = np.array(outputs, np.float32)
    found = number.answer_of_graph(STATE, run(number.nodes(STATE, {"widen": widen}, Decide(), ""), {"outputs": given}))
    expected = number.answer(given, {"widen": widen}, state=STATE, arrays={})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert (found[:, 1] <= found[:, 0]).all()
    assert (found[:, 0] <= found[:, 2]).all()


def test_mean_and_median_are_of_the_rows_by_their_weights():
    rows = table([0.0, 0.0, 0.0, 10.0, 99.0], w=[1.0, 1.0, 1.0, 100.0, 0.0])
    state = number.fit(target(loss="absolute", weight="w"), rows)
    assert (state["center"], state["scale"]) == (10.0, pytest.approx(30 / 103))
    assert number.fit(target(weight="w"), rows)["center"] == pytest.approx(1000 / 103)


def test_rows_that_count_nothing_lend_the_interval_no_certainty():
    generator = np.random.default_rng(2)
    misses = np.concatenate([generator.random(12), np.full(988, 50.0)])
    outputs, truth = np.zeros((1000, 3)), 10 + 4 * misses
    weight = np.concatenate([np.full(12, 2.0), np.zeros(988)])
    alone = number.calibrate(outputs[:12], {"target": truth[:12]}, state=STATE)
    assert number.calibrate(outputs, {"target": truth, "weight": weight}, state=STATE) == alone
    nothing = {"target": truth, "weight": np.zeros(1000)}
    assert number.calibrate(outputs, nothing, state=STATE) == number.UNCALIBRATED


def test_money_is_of_classes():
    with pytest.raises(ContractError, match=r"shop\.decide\.value gives worth to classes, and late is a number"):
        number.decision(STATE, Decide(currency="GBP", value={"call": {"yes": 1.0}}), "shop.decide")


def test_a_contract_names_the_outputs_that_the_graph_has():
    graph = number.nodes(STATE, {"widen": 0.1}, Decide(), "").graph
    described = number.describe(STATE, Decide())
    assert [output["name"] for output in described["outputs"]] == [value.name for value in graph.output]
    assert described["outputs"][1] == {"name": "low", "type": "float32", "shape": ["N"], "interval": 0.8}
