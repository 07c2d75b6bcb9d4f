"""Rows of numbered items in, sparse matrices of who has what out; and the same drawn as ONNX.

A number is 0 for padding, 1 for unknown, then FIRST + the item's place in the catalogue.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stages.core.arrays import ArraySpec
from stages.core.errors import ContractError
from stages.core.graph import Graph
from stages.core.problem import Problem

SUITS = ("dense", "index", "set", "tokens", "image", "wave")  # what is no history is left aside
TARGETS = ("ranking",)
FIRST = 2
MAX_SQUARE_ITEMS = 20_000  # a matrix of items by items: 1.6 GB, near the 2 GB of an ONNX file


def history_of(problem: Problem) -> ArraySpec:
    """The array of a row's past items."""
    (spec,) = (spec for spec in problem.specs if spec.name == problem.state["array"])
    return spec


def multi_hot(numbers_NW: np.ndarray, num_items: int, rows_N: np.ndarray | None = None, num_rows: int = 0) -> Any:
    """scipy CSR float64 [N, I]: 1 where a row holds an item, however often. `rows_N` joins rows: row i counts as of
    row rows_N[i] of `num_rows`."""
    from scipy import sparse

    row, place = np.nonzero(numbers_NW >= FIRST)
    items = numbers_NW[row, place].astype(np.int64) - FIRST
    row = row if rows_N is None else rows_N[row]
    shape = (len(numbers_NW) if rows_N is None else num_rows, num_items)
    found = sparse.csr_matrix((np.ones(len(row)), (row, items)), shape=shape)
    found.sum_duplicates()
    found.data[:] = 1.0
    return found


def baskets(arrays: Mapping[str, np.ndarray], problem: Problem) -> Any:
    """Who has what, CSR float64 [U, I]: past and next items of all rows of one group, whatever their weight.

    A customer who stands there at several dates is one row: what they have bought until the last of them.
    """
    codes = np.unique(arrays["group"], return_inverse=True)[1]
    num_groups = int(codes.max(initial=-1)) + 1
    numbers = (arrays[history_of(problem).name], arrays["target"])
    past, next_items = (multi_hot(part, problem.num_outputs, codes, num_groups) for part in numbers)
    return past.maximum(next_items)


def pairs(arrays: Mapping[str, np.ndarray], problem: Problem) -> tuple[Any, Any, np.ndarray]:
    """Past and next items, CSR float64 [M, I] each, of the rows that have next ones, and their weights [M], mean 1."""
    weights = arrays.get("weight", np.ones(len(arrays["target"]))).astype(np.float64)
    rows = np.flatnonzero((weights > 0) & (arrays["target"] >= FIRST).any(1))
    past, next_items = (
        multi_hot(part[rows], problem.num_outputs) for part in (arrays[history_of(problem).name], arrays["target"])
    )
    return past, next_items, weights[rows] / max(weights[rows].mean(), 1e-30) if len(rows) else weights[rows]


def check_square(problem: Problem, name: str) -> None:
    if problem.num_outputs > MAX_SQUARE_ITEMS:
        raise ContractError(
            f"the model {name!r} keeps a matrix of items by items, and the catalogue has {problem.num_outputs:,} "
            f"items; at most {MAX_SQUARE_ITEMS:,} fit. Raise examples.target.min_count, or take factorization or ials"
        )


def draw_inputs(graph: Graph, problem: Problem) -> str:
    """All arrays as inputs; returns the history's name, int64 [N, W]."""
    for spec in problem.specs:
        graph.input(spec.name, spec.dtype, spec.dims)
    return history_of(problem).name


def draw_multi_hot(graph: Graph, history: str, num_items: int) -> str:
    """Numbers int64 [N, W] → float32 [N, I]: 1 where a row holds an item, however often."""
    rows = graph("Shape", history, start=0, end=1)
    shape = graph("Concat", rows, graph.integers(num_items + FIRST), axis=0)
    blank = graph("Expand", graph.constant(0.0, "float32"), shape)
    ones = graph("Expand", graph.constant(1.0, "float32"), graph("Shape", history))
    return graph.slice(graph("ScatterElements", blank, history, ones, axis=1), FIRST, 2**31, 1)


def draw_linear(weights: Mapping[str, np.ndarray], problem: Problem, name: str, *, scaled: bool = False) -> Any:
    """Scores [N, I] = multi-hot history [N, I] · weights["items"] [I, I]; where `scaled`, over √items held."""
    graph = Graph()
    held = draw_multi_hot(graph, draw_inputs(graph, problem), problem.num_outputs)
    if scaled:
        count = graph("ReduceSum", held, graph.integers(1), keepdims=1)
        held = graph("Div", held, graph("Sqrt", graph("Max", count, graph.constant(1.0, "float32"))))
    scores = graph("MatMul", held, graph.constant(weights["items"], "float32"))
    graph.output(scores, "outputs", "float32", ["N", problem.num_outputs])
    return graph.build(name)
