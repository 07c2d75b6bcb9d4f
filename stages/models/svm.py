"""Words or other sets of ids in, a linear support vector machine over TF-IDF out; other arrays enter as in `linear`.

Each class against the rest, with the squared hinge loss, as scikit-learn's LinearSVC. Outputs are margins: the
target's calibration makes chances of them. A rare id counts more, ln((1 + rows) / (1 + rows with it)) + 1, and a
row's counts are divided by the root of their summed squares. An id that stands twice in a row adds its square twice.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph
from stages.core.problem import Problem
from stages.models import _solver as solver
from stages.models import _terms as terms
from stages.models import _truth as truth
from stages.models._classes import fit_classes

SUITS = ("dense", "index", "set", "tokens", "image", "wave")
NEEDS = ("set", "tokens")
TARGETS = ("category",)
RARITY = "rarity."


class Options(Section):
    """`strength` is the inverse of the L2 penalty (scikit-learn's C)."""

    strength: float = Field(default=1.0, gt=0)
    max_iterations: int = Field(default=200, ge=1)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """A table [size, C] for each array, the squared rarity [size] of each set's ids, and a bias [C]."""
    weight_N = truth.weights_of(arrays, problem)
    columns, rarities = [], {}
    for spec in problem.specs:
        array = arrays[spec.name]
        if spec.kind in terms.SETS:
            rarity = rarity_of(array, weight_N, spec.size)
            rarities[RARITY + spec.name] = rarity**2
            columns.append(weighed(array, rarity))
        else:
            columns.append(terms.columns(spec, array))
    penalty = solver.Penalty(options.strength, options.max_iterations)
    weights = fit_classes(columns, arrays, problem, penalty, loss=solver.squared_hinge)
    for name, squares in rarities.items():
        table = weights[name.removeprefix(RARITY)]
        table *= np.sqrt(squares)[:, None]  # counts times this are the margin, once divided by the row's root
    return weights | rarities


def rarity_of(ids_NW: np.ndarray, weight_N: np.ndarray, size: int) -> np.ndarray:
    """float32 [size]: the inverse document frequency, as scikit-learn smooths it; 0 for padding."""
    ordered = np.sort(ids_NW, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    found = np.bincount(ordered[first], weights=np.repeat(weight_N, first.sum(1)), minlength=size)
    rarity = np.log((1.0 + weight_N.sum()) / (1.0 + found)) + 1.0
    rarity[0] = 0.0
    return np.asarray(rarity, np.float32)


def weighed(ids_NW: np.ndarray, rarity: np.ndarray) -> solver.Columns:
    """TF-IDF columns, float32 [R, size]."""
    live = ids_NW > 0
    row_of = np.repeat(np.arange(len(ids_NW)), live.sum(1))
    squares_N = np.bincount(row_of, weights=rarity[ids_NW[live]] ** 2, minlength=len(ids_NW))
    return terms.sparse(ids_NW, live, 1.0 / np.sqrt(np.maximum(squares_N, 1e-24)), rarity)


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    parts = []
    for spec in problem.specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        if spec.kind in terms.SETS:
            parts.append(draw_words(graph, spec, name, weights))
        else:
            parts.append(terms.draw_term(graph, spec, name, weights[spec.name]))
    terms.draw_sum(graph, parts, weights["bias"])
    return graph.build("svm")


def draw_words(graph: Graph, spec: ArraySpec, name: str, weights: Mapping[str, np.ndarray]) -> str:
    """A set's share of the margins [N, C]: one look-up gives each id's margins and its squared rarity."""
    table = np.concatenate([weights[spec.name], weights[RARITY + spec.name][:, None]], 1)
    table = np.concatenate([0 * table[:1], table[1:]])  # padding adds nothing
    num_outputs = table.shape[1] - 1
    summed = graph("ReduceSum", graph("Gather", graph.constant(table, "float32"), name), graph.integers(1), keepdims=0)
    margins, squares = graph.slice(summed, 0, num_outputs, 1), graph.slice(summed, num_outputs, num_outputs + 1, 1)
    return str(graph("Div", margins, graph("Sqrt", graph("Max", squares, graph.constant(1e-24, "float32")))))
