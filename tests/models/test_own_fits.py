"""Models with a fit of their own, held against scikit-learn, LightGBM and scikit-image; soft labels and weights."""

from dataclasses import replace

import numpy as np
import pytest
from own_fits import DENSE, INDEX, WAVE, WORDS, chances_of, classes_of, number_of, numbers, predict

from stages.contract.loader import choose
from stages.models import _solver as solver
from stages.models import _truth as truth

# Soft labels, weights and weights of classes

OPTIONS = {
    "prior": {},
    "linear": {"strength": 0.5},
    "svm": {"strength": 0.5},
    "hog": {"strength": 0.5},
    "boosting": {"trees": 8, "leaves": 4, "min_rows_a_leaf": 1, "row_share": 1.0, "column_share": 1.0},
}
EVERY = pytest.mark.parametrize("name", OPTIONS)


def everything(num_rows, num_classes, seed):
    generator = np.random.default_rng(seed)
    target = generator.integers(0, num_classes, num_rows)
    dense = generator.normal(size=(num_rows, 3)) + target[:, None] * [0.8, 0, -0.5]
    live = np.arange(9) < generator.integers(0, 9, num_rows)[:, None]
    return {
        "encoded.dense": dense.astype(np.float32),
        "encoded.index_0": (target + generator.integers(0, 3, num_rows)).clip(0, 4).astype(np.int32),
        "encoded.set_1": np.where(live, generator.integers(1, 30, (num_rows, 9)) + 9 * target[:, None], 0),
        "encoded.wave_2": generator.integers(0, 200, (num_rows, 1, 12, 20)).astype(np.uint8),
        "target": target.astype(np.int64),
    }


def specs_of(name):
    return [spec for spec in (DENSE, INDEX, WORDS, WAVE) if spec.kind in choose("models", name, "").SUITS]


def repeated(arrays, times):
    return {key: np.repeat(array, times, axis=0) for key, array in arrays.items()}


@EVERY
@pytest.mark.parametrize("num_classes", [2, 3])
def test_soft_labels_are_weighted_duplicates(name, num_classes):
    hard = everything(60, num_classes, 1)
    shares = np.random.default_rng(0).dirichlet(np.full(num_classes, 0.6), 60)
    shares[:20] = np.eye(num_classes)[hard["target"][:20]]
    twice = repeated(hard, num_classes)
    twice["target"], twice["weight"] = np.tile(np.arange(num_classes), 60), shares.ravel()
    twice = {key: array[shares.ravel() > 0] for key, array in twice.items()}
    problem = classes_of(num_classes, *specs_of(name))
    rows = everything(20, num_classes, 2)
    soft = predict(name, problem, {**hard, "target": shares}, rows, **OPTIONS[name])
    again = predict(name, problem, twice, rows, **OPTIONS[name])
    np.testing.assert_allclose(chances_of(soft), chances_of(again), atol=3e-3)
    assert name == "prior" or soft.std(0)[-1] > 0.05


@EVERY
def test_a_weight_of_2_is_a_row_that_stands_there_twice(name):
    arrays = repeated(everything(60, 3, 1), 3)  # every value three times: LightGBM keeps it in a bin of its own
    times = np.random.default_rng(5).integers(0 if name != "boosting" else 1, 4, 180)
    problem, rows = classes_of(3, *specs_of(name)), everything(20, 3, 2)
    weighted = predict(name, problem, {**arrays, "weight": times.astype(np.float32)}, rows, **OPTIONS[name])
    again = predict(name, problem, repeated(arrays, times), rows, **OPTIONS[name])
    np.testing.assert_allclose(chances_of(weighted), chances_of(again), atol=3e-3)


@EVERY
@pytest.mark.parametrize("soft", [False, True])
def test_the_weight_of_a_class_is_the_weight_of_its_rows(name, soft):
    arrays, of_class = everything(60, 3, 1), np.array([1.0, 3.0, 0.5])
    if soft:
        arrays["target"] = np.random.default_rng(0).dirichlet([0.5] * 3, 60).astype(np.float32)
    of_row = of_class[arrays["target"]] if not soft else arrays["target"] @ of_class
    problem, rows = classes_of(3, *specs_of(name)), everything(20, 3, 2)
    declared = replace(problem, state={**problem.state, "class_weight": of_class.tolist()})
    found = predict(name, declared, arrays, rows, **OPTIONS[name])
    np.testing.assert_allclose(
        found, predict(name, problem, {**arrays, "weight": of_row}, rows, **OPTIONS[name]), atol=1e-5
    )


# Numbers


def dense_rows(arrays):
    return np.concatenate([arrays["encoded.dense"], np.eye(5)[arrays["encoded.index_0"]]], 1)


def test_linear_is_ridge_regression_for_a_number():
    from sklearn.linear_model import Ridge

    train, rows = numbers(200, 1), numbers(50, 2)
    weight = np.random.default_rng(3).uniform(0, 2, 200)
    outputs = predict("linear", number_of(DENSE, INDEX), {**train, "weight": weight}, rows, strength=0.2)
    oracle = Ridge(alpha=5.0).fit(dense_rows(train), (train["target"] - 5) / 2, weight)
    np.testing.assert_allclose(outputs[:, 0], oracle.predict(dense_rows(rows)), atol=3e-3)
    left_over = (train["target"] - 5) / 2 - oracle.predict(dense_rows(train))
    order = np.argsort(left_over)
    reached = np.cumsum(weight[order]) / weight.sum()
    for place, level in ((1, 0.1), (2, 0.9)):
        expected = left_over[order][np.searchsorted(reached, level)]
        np.testing.assert_allclose(outputs[:, place] - outputs[:, 0], expected, atol=2e-3)


def test_linear_is_median_regression_where_the_loss_is_absolute():
    from sklearn.linear_model import QuantileRegressor

    train, rows = numbers(300, 1, noise=2.0), numbers(50, 2)
    train["target"][:30] += 200.0  # which a mean would follow
    outputs = predict("linear", number_of(DENSE, loss="absolute"), train, rows, strength=1e3, max_iterations=500)
    oracle = QuantileRegressor(alpha=0.0).fit(train["encoded.dense"], (train["target"] - 5) / 2)
    np.testing.assert_allclose(outputs[:, 0], oracle.predict(rows["encoded.dense"]), atol=0.05)


def test_linear_is_hubers_regression_where_the_loss_is_huber():
    from scipy.optimize import minimize
    from scipy.special import huber

    train, rows = numbers(300, 1, noise=2.0), numbers(50, 2)
    train["target"][:30] += 200.0
    outputs = predict("linear", number_of(DENSE, loss="huber"), train, rows, strength=1e4, max_iterations=500)
    x, y = np.column_stack([train["encoded.dense"], np.ones(300)]), (train["target"] - 5) / 2
    oracle = minimize(lambda w: huber(1.0, y - x @ w).mean(), np.zeros(4), tol=1e-10).x
    expected = np.column_stack([rows["encoded.dense"], np.ones(50)]) @ oracle
    np.testing.assert_allclose(outputs[:, 0], expected, atol=5e-3)


@pytest.mark.parametrize(("loss", "objective"), [("squared", "l2"), ("absolute", "l1"), ("huber", "huber")])
def test_boosting_grows_the_point_and_both_ends_as_lightgbm_does(loss, objective):
    import lightgbm

    train, rows = numbers(300, 1), numbers(100, 2)
    weight = np.random.default_rng(3).uniform(0, 2, 300)
    options = {"trees": 12, "leaves": 5, "min_rows_a_leaf": 5}
    outputs = predict("boosting", number_of(DENSE, INDEX, loss=loss), {**train, "weight": weight}, rows, **options)

    def features(arrays):
        return np.concatenate([arrays["encoded.dense"], arrays["encoded.index_0"][:, None]], 1)

    for place, settings in enumerate(
        [
            {"objective": objective, "alpha": 1.0},
            {"objective": "quantile", "alpha": 0.1},
            {"objective": "quantile", "alpha": 0.9},
        ]
    ):
        settings |= {
            "num_leaves": 5, "learning_rate": 0.05, "min_data_in_leaf": 5, "bagging_fraction": 0.8, "bagging_freq": 1,
            "feature_fraction": 0.8, "seed": 3, "deterministic": True, "force_row_wise": True, "num_threads": 1,
            "use_missing": False, "verbosity": -1,
        }  # fmt: skip
        data = lightgbm.Dataset(features(train), (train["target"] - 5) / 2, weight=weight)
        oracle = lightgbm.train({**settings, "metric": "None"}, data, num_boost_round=12)
        np.testing.assert_allclose(outputs[:, place], oracle.predict(features(rows)), atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "prior"])
@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_an_interval_holds_the_share_of_unseen_numbers_that_it_should(name, loss):
    """0.8 declared; 3,000 rows give it a standard error of 0.007, and fitted ends miss a little more."""
    rows = numbers(3000, 8)
    outputs = predict(name, number_of(DENSE, INDEX, loss=loss), numbers(3000, 7), rows)
    truth_N = (rows["target"] - 5) / 2
    held = ((outputs[:, 1] <= truth_N) & (truth_N <= outputs[:, 2])).mean()
    assert held == pytest.approx(0.8, abs=0.035)
    assert (outputs[:, 1] <= outputs[:, 2]).all()


def test_boosting_widens_where_the_noise_is_and_linear_cannot():
    rows = numbers(2000, 8)
    noisy = rows["encoded.dense"][:, 0] > 0
    boosting, linear = (predict(n, number_of(DENSE, INDEX), numbers(3000, 7), rows) for n in ("boosting", "linear"))
    width = boosting[:, 2] - boosting[:, 1]
    assert width[noisy].mean() > 1.5 * width[~noisy].mean()
    assert np.ptp(linear[:, 2] - linear[:, 1]) < 1e-5


def test_the_prior_of_a_number_is_its_mean_or_its_median():
    arrays = {"encoded.dense": np.zeros((5, 3), np.float32), "target": np.array([1.0, 2.0, 3.0, 4.0, 100.0])}
    weighted = {**arrays, "weight": np.array([1.0, 1.0, 1.0, 1.0, 0.0], np.float32)}
    state = {"center": 0.0, "scale": 1.0}
    for given, loss, expected in [
        (arrays, "squared", [22.0, 1.0, 100.0]),
        (arrays, "absolute", [3.0, 1.0, 100.0]),
        (weighted, "squared", [2.5, 1.0, 4.0]),
        (weighted, "huber", [2.0, 1.0, 4.0]),
    ]:
        outputs = predict("prior", number_of(DENSE, loss=loss, **state), given, arrays)
        np.testing.assert_allclose(outputs, [expected] * 5)


@pytest.mark.parametrize(("level", "expected"), [(0.0, 1), (0.25, 1), (0.26, 5), (0.75, 5), (0.9, 7), (1.0, 7)])
def test_a_weighted_quantile_is_the_least_value_with_enough_weight_below(level, expected):
    assert truth.quantile(np.array([7.0, 1.0, 5.0]), np.array([1.0, 1.0, 2.0]), level) == expected


# The solver


def test_slices_change_nothing(monkeypatch):
    arrays, problem = everything(60, 3, 1), classes_of(3, DENSE, INDEX, WORDS, WAVE)
    whole = predict("linear", problem, arrays, arrays)
    monkeypatch.setattr(solver, "SLICE_VALUES", 7 * 1025)
    np.testing.assert_allclose(predict("linear", problem, arrays, arrays), whole, atol=3e-3)


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "squared", "rounded"])
def test_a_slope_is_that_of_its_loss(loss):
    generator = np.random.default_rng(0)
    num_scores = 1 if loss in ("squared", "rounded") else 3
    shares, numbers_N = generator.dirichlet([1, 1, 1], 40), generator.normal(size=40)
    made = {
        "logistic": lambda: solver.logistic(shares),
        "squared_hinge": lambda: solver.squared_hinge(shares),
        "squared": lambda: solver.squared(numbers_N),
        "rounded": lambda: solver.rounded(numbers_N, half_width=0.3),
    }[loss]()
    scores = generator.normal(size=(40, num_scores)) * 1.5
    slopes = made(slice(0, 40), scores)[1]
    for column in range(num_scores):
        step = np.zeros(num_scores)
        step[column] = 1e-6
        estimate = (made(slice(0, 40), scores + step)[0] - made(slice(0, 40), scores - step)[0]) / 2e-6
        np.testing.assert_allclose(slopes[:, column], estimate, atol=1e-6)
