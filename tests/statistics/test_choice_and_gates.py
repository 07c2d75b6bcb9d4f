"""Which candidate ships, and which gate opens: each rule with an input that breaks it, and only it."""

import numpy as np
import pyarrow as pa
import pytest

from stages.assay import Evidence, Gate, Section, explain, judge, open_gate
from stages.core.errors import ContractError
from stages.statistics.choice import choose
from stages.targets import category
from stages.training import Problem
from stages.training.scoring import Scoring, show_slices


def samples(value, spread=0.01, seed=0):
    """1,001 samples around a value: 95% lie within 1.96 spreads."""
    noise = np.random.default_rng(seed).normal(size=1000) * spread
    return np.concatenate([[value], value + noise - noise.mean()])


COMMON = samples(0.9)
SIZES = {"fp32": 400, "int8": 100, "baseline": 10}


def chosen(sign=1, margin=0.005, sizes=SIZES, **values):
    return choose(values, sizes, margin=margin, sign=sign)


def test_the_smallest_candidate_that_is_not_worse_is_chosen():
    name, frontier = chosen(fp32=COMMON, int8=COMMON - 0.004, baseline=COMMON - 0.1)
    assert name == "int8"
    assert frontier["best"] == "fp32"
    assert {key: entry["acceptable"] for key, entry in frontier["candidates"].items()} == {
        "fp32": True, "int8": True, "baseline": False,
    }  # fmt: skip
    assert frontier["candidates"]["int8"]["minus_best"] == {"value": -0.004, "low": -0.004, "high": -0.004}


def test_a_candidate_worse_than_the_margin_is_refused_however_small():
    assert chosen(fp32=COMMON, int8=COMMON - 0.006)[0] == "fp32"


def test_a_candidate_that_is_not_shown_to_be_not_worse_is_refused():
    noisy = samples(0.9, spread=0.05, seed=1)
    name, frontier = chosen(fp32=samples(0.9001, spread=0.05, seed=2), int8=noisy)
    assert name == "fp32"
    assert frontier["candidates"]["int8"]["minus_best"]["low"] < -0.005


def test_a_baseline_that_wins_ships():
    assert chosen(fp32=COMMON - 0.05, int8=COMMON - 0.05, baseline=COMMON)[0] == "baseline"


def test_of_equal_scores_the_smaller_file_is_chosen_and_of_equal_files_the_first_name():
    assert chosen(margin=0.0, fp32=COMMON, int8=COMMON)[0] == "int8"
    assert chosen(sizes={"b": 5, "a": 5}, b=COMMON, a=COMMON)[0] == "a"


def test_where_less_is_better_less_is_chosen():
    assert chosen(sign=-1, fp32=COMMON, int8=COMMON + 0.006)[0] == "fp32"
    assert chosen(sign=-1, fp32=COMMON, int8=COMMON + 0.004)[0] == "int8"


def test_a_score_that_is_not_defined_accepts_only_the_best():
    undefined = np.full(1001, np.nan)
    assert chosen(fp32=COMMON, int8=undefined)[0] == "fp32"
    assert chosen(int8=undefined, fp32=COMMON)[0] == "fp32"


# Gates

SAMPLES = {
    ("model", "roc_auc"): COMMON,  # 95% interval about [0.88, 0.92]
    ("model", "log_loss"): samples(0.3),
    ("baseline", "roc_auc"): COMMON - 0.01,
    ("baseline", "log_loss"): samples(0.3) + 0.01,
    ("prior", "roc_auc"): samples(0.5, 0.0),
    ("prior", "log_loss"): samples(0.29, 0.0),
}


def opens(gate, sign=1, found=SAMPLES):
    return open_gate(Gate.model_validate(gate), found, sign, "shop.assay.gates")["passed"]


@pytest.mark.parametrize(
    ("gate", "sign", "passed"),
    [
        ({"metric": "roc_auc", "at_least": 0.87}, 1, True),
        ({"metric": "roc_auc", "at_least": 0.89}, 1, False),  # the point is above, its interval is not
        ({"metric": "log_loss", "at_most": 0.33}, -1, True),
        ({"metric": "log_loss", "at_most": 0.31}, -1, False),
        ({"metric": "roc_auc", "better_than": "baseline"}, 1, True),
        ({"metric": "roc_auc", "better_than": "prior"}, 1, True),
        ({"metric": "log_loss", "better_than": "baseline"}, -1, True),
        ({"metric": "log_loss", "better_than": "prior"}, -1, False),
        ({"metric": "roc_auc", "not_worse_than": "baseline"}, 1, True),
        ({"metric": "log_loss", "not_worse_than": "prior", "by": 0.05}, -1, True),
        ({"metric": "log_loss", "not_worse_than": "prior", "by": 0.02}, -1, False),
    ],
)
def test_a_gate_asks_for_the_end_of_the_interval(gate, sign, passed):
    assert opens(gate, sign) is passed


def test_a_worse_model_fails_the_gates_that_compare():
    worse = {**SAMPLES, ("baseline", "roc_auc"): COMMON + 0.01}
    assert not opens({"metric": "roc_auc", "better_than": "baseline"}, found=worse)
    assert not opens({"metric": "roc_auc", "not_worse_than": "baseline", "by": 0.009}, found=worse)
    assert opens({"metric": "roc_auc", "not_worse_than": "baseline", "by": 0.011}, found=worse)


def test_a_model_is_not_better_than_itself():
    same = {**SAMPLES, ("baseline", "roc_auc"): COMMON}
    assert not opens({"metric": "roc_auc", "better_than": "baseline"}, found=same)
    assert opens({"metric": "roc_auc", "not_worse_than": "baseline", "by": 1e-9}, found=same)


@pytest.mark.parametrize(
    "condition", [{"at_least": 0.1}, {"at_most": 0.9}, {"better_than": "prior"}, {"not_worse_than": "prior"}]
)
def test_a_score_that_is_not_defined_opens_no_gate(condition):
    undefined = {**SAMPLES, ("model", "roc_auc"): np.full(1001, np.nan)}
    result = open_gate(Gate.model_validate({"metric": "roc_auc", **condition}), undefined, 1, "")
    assert result["passed"] is False
    assert explain(result).endswith("found not defined on these rows")


def test_a_gate_on_an_unknown_metric_names_the_ones_there_are():
    with pytest.raises(
        ContractError,
        match=r"shop\.assay\.gates asks for 'roc_acu'. Did you mean 'roc_auc'\? This target has log_loss, roc_auc",
    ):
        opens({"metric": "roc_acu", "at_least": 0.5})


@pytest.mark.parametrize(
    "gate", [{}, {"at_least": 0.1, "at_most": 0.9}, {"better_than": "luck"}, {"at_least": 0.5, "by": -1}]
)
def test_a_gate_has_exactly_one_condition_that_makes_sense(gate):
    with pytest.raises(ValueError, match=r"exactly one|Input should be"):
        Gate.model_validate({"metric": "roc_auc", **gate})


def judged(*gates):
    problem = Problem((), category, {"classes": ["no", "yes"]})
    section = Section.model_validate({"gates": list(gates)})
    return judge(Evidence(SAMPLES), section, problem, "roc_auc", "shop.assay.gates")


def test_a_verdict_holds_every_score_and_difference():
    report = judged({"metric": "roc_auc", "at_least": 0.87}, {"metric": "log_loss", "at_most": 0.33})
    assert (report["passed"], report["reasons"]) == (True, [])
    assert report["scores"]["model"]["roc_auc"]["value"] == 0.9
    assert report["model_minus"]["baseline"]["roc_auc"] == {"value": 0.01, "low": 0.01, "high": 0.01}


def test_one_closed_gate_refuses_and_says_what_was_found():
    report = judged({"metric": "roc_auc", "at_least": 0.87}, {"metric": "roc_auc", "at_least": 0.95})
    assert report["passed"] is False
    assert [result["passed"] for result in report["gates"]] == [True, False]
    (reason,) = report["reasons"]
    assert reason.startswith("gate (metric roc_auc, at_least 0.95): found 0.9000, 95% interval [0.8")


def test_without_gates_the_model_must_be_better_than_the_class_shares():
    assert judged()["gates"][0]["gate"] == {"metric": "roc_auc", "better_than": "prior"}
    assert judged()["passed"] is True


def test_a_gate_may_ask_of_some_rows_alone():
    new = {(model, metric): values - 0.2 for (model, metric), values in SAMPLES.items()}
    evidence = Evidence(SAMPLES, {"speakers": {"known": (500, SAMPLES), "new": (400, new), "few": (7, {})}})
    problem = Problem((), category, {"classes": ["no", "yes"]})

    def verdict(value: str) -> bool:
        gate = {"metric": "roc_auc", "at_least": 0.87, "where": {"speakers": value}}
        section = Section.model_validate({"gates": [gate], "slices": ["speakers"]})
        return bool(judge(evidence, section, problem, "roc_auc", "shop.assay.gates")["passed"])

    assert verdict("known")
    assert not verdict("new")
    for value, rows in (("few", 7), ("nobody", 0)):
        with pytest.raises(ContractError, match=rf"whose speakers is '{value}', and the test has {rows} of them.*few"):
            verdict(value)


def test_scores_of_slices_are_those_of_their_rows_alone():
    arrays = {"target": np.arange(90) % 2, "group": np.arange(90)}
    right = np.eye(2)[arrays["target"]]
    answer = np.where((np.arange(90) < 40)[:, None], right, 1 - right)
    table = pa.table({"side": ["a"] * 40 + ["b"] * 40 + ["c"] * 10})
    scoring = Scoring(Problem((), category, {"type": "category", "classes": ["no", "yes"], "positive": 1}), None, 0)
    found = show_slices(scoring.slices(table, {"model": answer, "prior": right}, arrays), "model")
    assert {value: entry.get("accuracy") for value, entry in found["side"].items()} == {
        "a": {"value": 1.0, "low": 1.0, "high": 1.0}, "b": {"value": 0.0, "low": 0.0, "high": 0.0}, "c": None,
    }  # fmt: skip
    assert found["side"]["c"] == {"rows": 10, "absent": "fewer than 30 rows"}
