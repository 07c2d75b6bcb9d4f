"""Class shares of the training rows in, the same answer for every row out: the least baseline."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.contract.section import Section
from stages.core.graph import Graph
from stages.core.problem import Problem

TARGETS = ("category",)
SUITS = ("dense", "index", "set", "tokens", "image", "wave")


class Options(Section):
    """The prior has no options."""


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """Log shares of the classes, each counted once more than seen (Laplace)."""
    counts = np.bincount(arrays["target"], minlength=problem.num_outputs) + 1.0
    return {"outputs": np.log(counts / counts.sum()).astype(np.float32)}


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    specs, num_outputs = problem.specs, problem.num_outputs
    graph = Graph()
    names = [graph.input(spec.name, spec.dtype, spec.dims) for spec in specs]
    rows = graph("Shape", names[0], start=0, end=1)
    shape = graph("Concat", rows, graph.integers(num_outputs), axis=0)
    graph.output(graph("Expand", graph.constant(weights["outputs"]), shape), "outputs", "float32", ["N", num_outputs])
    return graph.build("prior")
