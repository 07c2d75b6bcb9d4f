"""The targets of the training rows in, the same answer for every row out: the least baseline.

Classes get their shares; a number gets its mean, or its median where the loss is absolute, and the quantiles of its
interval.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.contract.section import Section
from stages.core.graph import Graph
from stages.core.problem import Problem
from stages.models import _truth as truth

SUITS = ("dense", "index", "set", "tokens", "image", "wave")
TARGETS = ("category", "number")


class Options(Section):
    """The prior has no options."""


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """`outputs` [C]: log shares of classes, each counted once more than seen (Laplace); or point, low, high."""
    if problem.state["type"] == "category":
        counts = truth.class_totals(arrays, problem) + 1.0
        return {"outputs": np.log(counts / counts.sum()).astype(np.float32)}
    wanted_N, weight_N = truth.scaled(arrays, problem), truth.weights_of(arrays, problem)
    low, high = truth.levels(problem)
    ends = [truth.quantile(wanted_N, weight_N, level) for level in (0.5, low, high)]
    if problem.state["loss"] == "squared":
        ends[0] = float(wanted_N @ weight_N / weight_N.sum())
    return {"outputs": np.array(ends, np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    names = [graph.input(spec.name, spec.dtype, spec.dims) for spec in problem.specs]
    rows = graph("Shape", names[0], start=0, end=1)
    shape = graph("Concat", rows, graph.integers(problem.num_outputs), axis=0)
    outputs = graph("Expand", graph.constant(weights["outputs"]), shape)
    graph.output(outputs, "outputs", "float32", ["N", problem.num_outputs])
    return graph.build("prior")
