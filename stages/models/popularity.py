"""Lists of next items in, the same scores for every row out: how many training rows had each item next."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.contract.section import Section
from stages.core.graph import Graph
from stages.core.problem import Problem
from stages.models import _items

TARGETS = _items.TARGETS
SUITS = _items.SUITS


class Options(Section):
    """Popularity has no options; rows count by their weight, where the target declares one."""


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """float32 [I], logarithms of counts, each one more than seen."""
    _, next_items, weights = _items.pairs(arrays, problem)
    return {"scores": np.log1p(next_items.T @ weights).astype(np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    rows = graph("Shape", _items.draw_inputs(graph, problem), start=0, end=1)
    shape = graph("Concat", rows, graph.integers(problem.num_outputs), axis=0)
    scores = graph("Expand", graph.constant(weights["scores"], "float32"), shape)
    graph.output(scores, "outputs", "float32", ["N", problem.num_outputs])
    return graph.build("popularity")
