"""What evaluate lets pass: a model that is shown to beat one answer for all rows, and no noise."""

import numpy as np
import pytest

from stages.core.arrays import ArraySpec
from stages.core.problem import Problem
from stages.evaluate import CONSTANT, MODEL, constant_answer, evaluate, judge, summary
from stages.targets import category
from stages.training import Recipe, fit, options_of
from stages.training.scoring import Scoring

SPEC = ArraySpec("encoded.dense", "dense", ("a", "b"), 2)
STATE = {"type": "category", "column": "y", "classes": ["no", "yes"], "positive": 1, "counts": [800, 200]}
PROBLEM = Problem((SPEC,), category, STATE)
SCORING = Scoring(PROBLEM, None, 0)


def rows_of(num_rows, share, seed, signal=0.0):
    generator = np.random.default_rng(seed)
    target = (generator.random(num_rows) < share).astype(np.int64)
    dense = generator.normal(size=(num_rows, 2)) + signal * target[:, None]
    return {SPEC.name: dense.astype(np.float32), "target": target, "group": np.arange(num_rows)}


def network_of(name, train):
    _, options = options_of(name, {}, name)
    return fit(name, options, PROBLEM, {"train": train}, recipe=Recipe()).network


@pytest.mark.parametrize("share", [0.2, 0.26, 0.35])
def test_noise_is_refused_however_common_the_class_is_on_validation(share):
    train, validation = rows_of(1000, 0.2, 1), rows_of(2000, share, 2)
    networks = {MODEL: network_of("linear", train), "prior": network_of("prior", train)}
    constant = constant_answer(PROBLEM, train, validation, SCORING)
    report, answers = evaluate(networks, constant, validation, SCORING, "log_loss")
    assert report["beats_constant"] == []
    assert judge(report)[0].startswith("no model is shown to beat one answer for all rows")
    np.testing.assert_allclose(constant, answers["prior"])
    assert report["constant"] == constant[0].tolist()


def test_a_refusal_names_the_bound_that_it_was_judged_by():
    """The network alone would do at 95%; as one of three it must show more."""
    ahead = {"value": 0.2, "low": 0.03, "high": 0.37}
    report = {"beats_constant": [], "metric": "accuracy", "rows": 59}
    several = judge({**report, "minus_constant": {MODEL: ahead, "linear": ahead, "boosting": ahead}})[0]
    assert "0.2000 [0.0300, 0.3700] (95%; of 3 models each must show more, at 98.3%) on 59 validation rows" in several
    assert "More rows, a larger examples.split.validation, or a metric that sees more" in several
    assert "(95%) on 59" in judge({**report, "minus_constant": {MODEL: ahead}})[0]


@pytest.mark.parametrize(
    ("mean", "told"), [({"log_loss": 0.3}, "2 folds: mean log_loss 0.3"), ({"accuracy": 0.9}, "2 folds: no log_loss,")]
)
def test_a_score_that_folds_cannot_have_is_not_shown_as_none(mean, told):
    score = {"value": 0.3, "low": 0.2, "high": 0.4}
    report = {
        "metric": "log_loss", "rows": 9, "models": {MODEL: {"scores": {"log_loss": score}}}, "baselines_ranked": [],
        "folds": {"scores": [mean, mean], "mean": mean},
    }  # fmt: skip
    assert told in summary(report, [])


def test_what_tells_something_passes_and_one_answer_for_all_is_never_what_passed():
    train, validation = rows_of(1000, 0.2, 1, 1.0), rows_of(2000, 0.26, 2, 1.0)
    networks = {MODEL: network_of("linear", train), "prior": network_of("prior", train)}
    report, _ = evaluate(
        networks, constant_answer(PROBLEM, train, validation, SCORING), validation, SCORING, "log_loss"
    )
    assert report["beats_constant"] == [MODEL]
    assert judge(report) == []
    assert CONSTANT not in report["models"]
