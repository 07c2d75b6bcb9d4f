"""The target's array in, what models with a fit of their own learn from out: class shares, scaled numbers, weights.

Shapes: N rows, C classes.
"""

from collections.abc import Mapping

import numpy as np

from stages.core.problem import Problem

Arrays = Mapping[str, np.ndarray]


def weights_of(arrays: Arrays, problem: Problem) -> np.ndarray:
    """float64 [N]: how much each row counts, by its own weight and by its class's."""
    num_rows = len(arrays["target"])
    weight_N = np.asarray(arrays.get("weight", np.ones(num_rows)), np.float64)
    if "class_weight" in problem.state:
        of_class_C = np.array(problem.state["class_weight"], np.float64)
        weight_N = weight_N * (
            of_class_C[arrays["target"]] if arrays["target"].ndim == 1 else arrays["target"] @ of_class_C
        )
    return weight_N


def shares_of(target: np.ndarray, num_classes: int) -> np.ndarray:
    """[N, C]: soft labels as they are, hard ones as a one in the place of the class."""
    if target.ndim == 2:
        return target
    hard_NC = np.zeros((len(target), num_classes), np.float32)
    hard_NC[np.arange(len(target)), target] = 1.0
    return hard_NC


def class_totals(arrays: Arrays, problem: Problem) -> np.ndarray:
    """float64 [C]: how much of the training weight each class has."""
    target, weight_N = arrays["target"], weights_of(arrays, problem)
    if target.ndim == 2:
        return np.asarray(weight_N @ target.astype(np.float64))
    return np.bincount(target, weights=weight_N, minlength=problem.num_outputs)


def one_class_rows(arrays: Arrays, problem: Problem) -> tuple[slice | np.ndarray, np.ndarray, np.ndarray]:
    """Rows, labels and weights [M]: a row with soft labels once for each class that it has a share of."""
    target, weight_N = arrays["target"], weights_of(arrays, problem)
    if target.ndim == 1:
        return slice(None), target, weight_N
    rows, labels = np.nonzero(target)
    return rows, labels, weight_N[rows] * target[rows, labels]


def scaled(arrays: Arrays, problem: Problem) -> np.ndarray:
    """float64 [N]: a number's target in the units of the outputs."""
    center, scale = float(problem.state["center"]), float(problem.state["scale"])
    return np.asarray((arrays["target"].astype(np.float64) - center) / scale)


def levels(problem: Problem) -> tuple[float, float]:
    """The quantiles that the ends of a number's interval stand for: 0.05 and 0.95 of an interval of 0.9."""
    outside = (1.0 - float(problem.state["interval"])) / 2
    return outside, 1.0 - outside


def quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The least value with at least `level` of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    place = np.searchsorted(reached, level * reached[-1] * (1 - 1e-12))
    return float(values[order[min(place, len(order) - 1)]])
