"""Encoded arrays in, a multinomial logistic regression out, fitted by scikit-learn (L-BFGS).

Dense units enter as they are, an index as one-hot, a set as counts / √total, an image as pixels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph
from stages.core.problem import Problem

TARGETS = ("category",)
SUITS = ("dense", "index", "set", "image")
MAX_IMAGE_ROWS = 20_000  # more pictures than this change a linear model little and cost much


class Options(Section):
    """`strength` is the inverse of the L2 penalty (scikit-learn's C)."""

    strength: float = Field(default=1.0, gt=0)
    max_iterations: int = Field(default=100, ge=1)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """One weight matrix [size, C] for each array, and a bias [C]."""
    import warnings

    from scipy import sparse
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    specs, num_outputs, truth = problem.specs, problem.num_outputs, arrays["target"]
    rows = np.arange(len(truth))
    if any(spec.kind == "image" for spec in specs) and len(truth) > MAX_IMAGE_ROWS:
        rows = np.random.default_rng(seed).permutation(rows)[:MAX_IMAGE_ROWS]
    blocks = [design(spec, arrays[spec.name][rows]) for spec in specs]
    compact = all(isinstance(block, np.ndarray) for block in blocks)
    matrix = np.concatenate(blocks, 1) if compact else sparse.hstack(blocks, "csr")
    model = LogisticRegression(C=options.strength, max_iter=options.max_iterations)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last iterate is as good a baseline
        model.fit(matrix, truth[rows])
    coefficients = np.zeros((matrix.shape[1], num_outputs), np.float32)
    bias = np.full(num_outputs, -20.0, np.float32)
    coefficients[:, model.classes_], bias[model.classes_] = two_sided(model.coef_, model.intercept_)
    weights, start = {"bias": bias}, 0
    for spec in specs:
        weights[spec.name] = coefficients[start : start + spec.size]
        start += spec.size
    return weights


def two_sided(coefficients: np.ndarray, intercept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn keeps one row for two classes; the first class's outputs are then 0."""
    if len(coefficients) > 1:
        return coefficients.T, intercept
    return np.concatenate([0 * coefficients, coefficients]).T, np.concatenate([0 * intercept, intercept])


def design(spec: ArraySpec, array: np.ndarray) -> Any:
    """[N, size], dense or sparse."""
    from scipy import sparse

    num_rows = len(array)
    if spec.kind == "dense":
        return array.astype(np.float64)
    if spec.kind == "image":
        mean, std = (np.array(values)[:, None, None] for values in (spec.mean, spec.std))
        return ((array / 255.0 - mean) / std).reshape(num_rows, -1)
    if spec.kind == "index":
        entries = array[:, None]
        scale = np.ones(num_rows)
    else:
        entries = array
        scale = 1.0 / np.sqrt(np.maximum((array > 0).sum(1), 1))
    live = entries > 0 if spec.kind == "set" else np.ones_like(entries, bool)
    row_of, place = np.nonzero(live)
    values = scale[row_of]
    return sparse.csr_matrix((values, (row_of, entries[row_of, place])), shape=(num_rows, spec.size))


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    specs, num_outputs = problem.specs, problem.num_outputs
    graph = Graph()
    total = graph.constant(weights["bias"], "float32")
    for spec in specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        total = graph("Add", draw_term(graph, spec, name, weights[spec.name]), total)
    graph.output(total, "outputs", "float32", ["N", num_outputs])
    return graph.build("linear")


def draw_term(graph: Graph, spec: ArraySpec, name: str, weight: np.ndarray) -> str:
    """One array's share of the outputs, [N, C]."""
    if spec.kind == "set":
        weight = np.concatenate([0 * weight[:1], weight[1:]])  # padding adds nothing
    table = graph.constant(weight, "float32")
    if spec.kind == "dense":
        return str(graph("MatMul", name, table))
    if spec.kind == "index":
        return str(graph("Gather", table, name))
    if spec.kind == "image":
        pixels = graph("Div", graph.cast(name, FLOAT), graph.constant(255.0, "float32"))
        mean, std = (graph.constant(np.array(v)[:, None, None], "float32") for v in (spec.mean, spec.std))
        flat = graph("Flatten", graph("Div", graph("Sub", pixels, mean), std))
        return str(graph("MatMul", flat, table))
    summed = graph("ReduceSum", graph("Gather", table, name), graph.integers(1), keepdims=0)
    live = graph.cast(graph("Greater", name, graph.constant(0, "int64")), FLOAT)
    count = graph("Max", graph("ReduceSum", live, graph.integers(1), keepdims=1), graph.constant(1.0, "float32"))
    return str(graph("Div", summed, graph("Sqrt", count)))
