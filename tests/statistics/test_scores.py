"""Every score against scikit-learn's, with ties, and with whole weights against repeated rows."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.statistics import scores
from stages.targets import category

some = settings(max_examples=20, deadline=None)
ONE = np.ones((1, 30), np.float32)


def rows(seed: int, num_classes: int = 2):
    """30 rows: scores with ties, truths that hold every class, guesses, weights 0 … 3 of 4 resamples."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(num_classes), generator.integers(0, num_classes, 30 - num_classes)])
    tied = generator.integers(0, 6, 30) / 5
    weights = generator.integers(0, 4, (4, 30))
    weights[:, :num_classes] += 1  # every class is drawn
    return tied, truth, generator.integers(0, num_classes, 30), weights.astype(np.float32)


def on_repeated_rows(measure, weights, *arrays):
    """The measure of each resample, its rows written out as often as they were drawn."""
    return [measure(*(np.repeat(array, row.astype(int), axis=0) for array in arrays)) for row in weights]


@some
@given(seed=st.integers(0, 10_000))
def test_roc_auc_is_scikit_learns(seed):
    tied, truth, _, weights = rows(seed)
    found = scores.roc_auc(tied, truth == 1, np.concatenate([ONE, weights]))
    expected = on_repeated_rows(sklearn.metrics.roc_auc_score, np.concatenate([ONE, weights]), truth, tied)
    np.testing.assert_allclose(found, expected)


@some
@given(seed=st.integers(0, 10_000))
def test_average_precision_is_scikit_learns(seed):
    tied, truth, _, weights = rows(seed)
    found = scores.average_precision(tied, truth == 1, np.concatenate([ONE, weights]))
    expected = on_repeated_rows(sklearn.metrics.average_precision_score, np.concatenate([ONE, weights]), truth, tied)
    np.testing.assert_allclose(found, expected)


@some
@given(seed=st.integers(0, 10_000))
def test_f1_is_scikit_learns(seed):
    _, truth, guess, weights = rows(seed)
    found = scores.f1(guess == 1, truth == 1, np.concatenate([ONE, weights]))
    np.testing.assert_allclose(
        found, on_repeated_rows(sklearn.metrics.f1_score, np.concatenate([ONE, weights]), truth, guess)
    )


@some
@given(seed=st.integers(0, 10_000), num_classes=st.integers(3, 5))
def test_macro_f1_is_scikit_learns_even_where_a_resample_lacks_a_class(seed, num_classes):
    _, truth, guess, weights = rows(seed, num_classes)
    weights *= guess != num_classes - 1
    weights[:2, truth == num_classes - 1] = 0
    weights[:, 0] = 1
    found = scores.macro_f1(guess, truth, num_classes, np.concatenate([ONE, weights]))

    def measure(truth, guess):
        return sklearn.metrics.f1_score(truth, guess, average="macro")

    np.testing.assert_allclose(found, on_repeated_rows(measure, np.concatenate([ONE, weights]), truth, guess))


@some
@given(seed=st.integers(0, 10_000), num_classes=st.integers(2, 4))
def test_log_loss_and_brier_score_are_scikit_learns(seed, num_classes):
    _, truth, _, weights = rows(seed, num_classes)
    chances = np.random.default_rng(seed).dirichlet(np.ones(num_classes), 30)
    labels = list(range(num_classes))

    def log_loss(truth, chances):
        return sklearn.metrics.log_loss(truth, chances, labels=labels)

    found = scores.mean(scores.log_loss_rows(chances, truth), weights)
    np.testing.assert_allclose(found, on_repeated_rows(log_loss, weights, truth, chances), rtol=1e-6)
    brier = scores.brier_rows(chances, truth)
    assert brier[0] == pytest.approx(sum((chances[0, i] - (truth[0] == i)) ** 2 for i in range(num_classes)))


def test_a_probability_of_zero_costs_16_nats_and_not_infinity():
    assert scores.log_loss_rows(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(16.118, abs=1e-3)


def test_scores_of_one_class_alone_are_not_numbers():
    scored, none = np.array([0.1, 0.7]), np.zeros(2, bool)
    ones = np.ones((1, 2), np.float32)
    assert np.isnan(scores.roc_auc(scored, none, ones)).all()
    assert np.isnan(scores.roc_auc(scored, ~none, ones)).all()
    assert np.isnan(scores.average_precision(scored, none, ones)).all()
    assert np.isnan(scores.f1(none, none, ones)).all()


def test_four_rows_give_exactly_these_scores():
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5], [0.2, 0.8]])
    state = {"classes": ["no", "yes"], "positive": 1}
    worth = (["call", "skip"], np.array([[-4.0, 0.0], [5.0, 0.0]]))
    functions = category.score_functions(state, worth, chances, {"target": np.array([0, 0, 1, 1])})
    found = {name: float(function(np.ones((1, 4), np.float32))[0]) for name, function in functions.items()}
    assert found == pytest.approx(
        {
            "accuracy": 0.5,  # the third row's tie goes to "no"
            "log_loss": -np.log([0.9, 0.4, 0.5, 0.8]).mean(),
            "brier": (0.02 + 0.72 + 0.5 + 0.08) / 4,
            "roc_auc": 0.75,
            "average_precision": 0.5 * 1 + 0.5 * 2 / 3,
            "f1": 0.5,
            "value": (0 - 4 + 5 + 5) / 4,
        }
    )
    assert list(functions) == category.metric_names(state, has_value=True)
