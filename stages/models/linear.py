"""Encoded arrays in, a linear model out: logistic regression for classes, ridge or median regression for numbers.

It learns from every row, with the whole penalised loss at each step (L-BFGS). A number's interval is its point and
quantiles of what is left over in training.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.graph import Graph
from stages.core.problem import Problem
from stages.models import _solver as solver
from stages.models import _terms as terms
from stages.models import _truth as truth
from stages.models._classes import fit_classes

SUITS = ("dense", "index", "set", "tokens", "image", "wave")
TARGETS = ("category", "number")
LOSSES: dict[str, Callable[[np.ndarray], solver.Loss]] = {
    "squared": solver.squared,
    "absolute": partial(solver.rounded, half_width=0.02),  # as good as the median, with a slope everywhere
    "huber": partial(solver.rounded, half_width=1.0),
}


class Options(Section):
    """`strength` is the inverse of the L2 penalty (scikit-learn's C, or 1 / alpha)."""

    strength: float = Field(default=1.0, gt=0)
    max_iterations: int = Field(default=100, ge=1)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """One weight matrix [size, outputs] for each array, and a bias [outputs]."""
    columns = [terms.columns(spec, arrays[spec.name]) for spec in problem.specs]
    penalty = solver.Penalty(options.strength, options.max_iterations)
    if problem.state["type"] == "category":
        return fit_classes(columns, arrays, problem, penalty, loss=solver.logistic)
    return fit_number(columns, arrays, problem, penalty)


def fit_number(
    columns: list[solver.Columns], arrays: Mapping[str, np.ndarray], problem: Problem, penalty: solver.Penalty
) -> dict[str, np.ndarray]:
    """Tables [size, 3] and bias [3]: point, low, high."""
    wanted_N, weight_N = truth.scaled(arrays, problem), truth.weights_of(arrays, problem)
    loss = LOSSES[problem.state["loss"]](wanted_N)
    found, bias = solver.minimise(columns, loss, weight_N, penalty, num_scores=1)
    left_over_N = wanted_N - solver.scores(columns, found, len(wanted_N))[:, 0] - bias
    ends = [truth.quantile(left_over_N, weight_N, level) for level in truth.levels(problem)]
    weights = {spec.name: np.repeat(table, 3, axis=1) for spec, table in zip(problem.specs, found, strict=True)}
    weights["bias"] = bias + np.array([0.0, *ends])
    return {name: table.astype(np.float32) for name, table in weights.items()}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    parts = []
    for spec in problem.specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        parts.append(terms.draw_term(graph, spec, name, weights[spec.name]))
    terms.draw_sum(graph, parts, weights["bias"])
    return graph.build("linear")
