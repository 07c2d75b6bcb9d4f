"""Resamples that are paired, whole by group, repeatable, and whose intervals cover what they should."""

from functools import partial

import numpy as np
import pytest

from stages.statistics import scores
from stages.statistics.bootstrap import NO_INTERVAL, bootstrap, summarise


def mean_of(values):
    return partial(scores.mean, np.asarray(values, np.float64))


def test_a_model_is_exactly_as_good_as_itself():
    values = np.random.default_rng(0).normal(size=50)
    found = bootstrap({"a": mean_of(values), "b": mean_of(values)}, np.arange(50), seed=1)
    assert len(found["a"]) == 1001
    assert (found["a"] - found["b"] == 0).all()
    assert summarise(found["a"] - found["b"]) == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_first_sample_is_the_score_on_the_rows_as_they_are():
    assert bootstrap({"m": mean_of([1, 2, 6])}, np.arange(3), seed=1, num_resamples=5)["m"][0] == 3


def test_the_same_seed_gives_the_same_samples_in_separate_calls():
    values, groups = np.arange(20.0), np.arange(20) // 2
    first, second, third = (
        bootstrap({"m": mean_of(values)}, groups, seed=seed, num_resamples=50)["m"] for seed in (7, 7, 8)
    )
    assert first.tolist() == second.tolist() != third.tolist()


def test_rows_of_a_group_are_drawn_together(monkeypatch):
    monkeypatch.setattr("stages.statistics.bootstrap.LEAST_GROUPS", 3)
    groups = np.array([5, -1, 5, 9, -1, 5])
    seen = []

    def spy(weights):
        seen.append(weights)
        return weights.sum(1)

    bootstrap({"m": spy}, groups, seed=3, num_resamples=200)
    weights = np.concatenate(seen[1:])
    assert weights.shape == (200, 6)
    for name in (5, -1, 9):
        assert (weights[:, groups == name] == weights[:, groups == name][:, :1]).all()
    drawn = weights[:, [0, 1, 3]]  # one row of each of the three groups
    assert (drawn.sum(1) == 3).all()
    assert len(np.unique(drawn, axis=0)) == 10  # every way to draw three of three


def test_grouped_rows_give_wider_intervals_than_the_same_rows_taken_as_independent():
    values = np.repeat(np.random.default_rng(2).normal(size=30), 20)

    def width(groups):
        found = summarise(bootstrap({"m": mean_of(values)}, groups, seed=1)["m"])
        return found["high"] - found["low"]

    assert width(np.arange(600) // 20) / width(np.arange(600)) == pytest.approx(20**0.5, rel=0.25)


def test_resampling_in_chunks_draws_as_in_one(monkeypatch):
    from stages.statistics import bootstrap as module

    whole = bootstrap({"m": mean_of(np.arange(10.0))}, np.arange(10), seed=1, num_resamples=30)["m"]
    monkeypatch.setattr(module, "CHUNK_VALUES", 70)
    assert (
        bootstrap({"m": mean_of(np.arange(10.0))}, np.arange(10), seed=1, num_resamples=30)["m"].tolist()
        == whole.tolist()
    )


def test_the_95_percent_interval_covers_the_mean_in_about_95_of_100_worlds():
    generator, covered = np.random.default_rng(11), 0
    for world in range(200):
        found = summarise(
            bootstrap({"m": mean_of(generator.exponential(size=60))}, np.arange(60), seed=world, num_resamples=200)["m"]
        )
        covered += found["low"] <= 1.0 <= found["high"]
    assert 180 <= covered <= 198


def test_what_is_not_defined_is_absent_with_its_reason():
    auc = partial(scores.roc_auc, np.array([0.1, 0.2]), np.array([True, True]))
    assert summarise(bootstrap({"m": auc}, np.arange(2), seed=1)["m"]) == {"absent": "not defined on these rows"}


def test_four_groups_are_too_few_for_an_interval():
    """Resamples of one group are all alike: a width of zero would show anything."""
    for num_groups, enough in ((1, False), (4, False), (5, True)):
        groups = np.arange(40) % num_groups
        found = summarise(bootstrap({"m": mean_of(np.arange(40.0))}, groups, seed=1)["m"])
        assert ("low" in found) == enough
        assert enough or found == {"value": 19.5, "absent": NO_INTERVAL}


def test_a_score_that_most_resamples_lack_has_no_interval():
    samples = np.array([0.5, *[np.nan] * 60, *[0.4] * 40])
    assert summarise(samples) == {"value": 0.5, "absent": NO_INTERVAL}
    assert summarise(np.array([0.5, *[np.nan] * 40, *[0.4] * 60])) == {"value": 0.5, "low": 0.4, "high": 0.4}
