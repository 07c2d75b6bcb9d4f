"""Baskets in, factors of items out, by alternating least squares; a row's own factor is solved for in the graph.

Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets", with the advice of Rendle et al.
2022, "Revisiting the performance of iALS": a weight for what is not held, and a penalty that grows with frequency.
The factor of a history is no linear map of it. The graph finds it as training does: by the conjugate gradients of
the same d equations, which are exact after d steps and here within 1e-4 after `steps`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.graph import Graph
from stages.core.problem import Problem
from stages.models import _items

TARGETS = _items.TARGETS
SUITS = _items.SUITS
BATCH_ROWS = 512
TINY = 1e-20


class Options(Section):
    """`unheld` is the weight α₀ of an item that a row does not hold, beside 1 of one that it does.

    The penalty of a factor is `penalty` · (items held + α₀ · all others)^`frequency`, as Rendle et al. scale it.
    """

    width: int = Field(default=64, ge=1)
    unheld: float = Field(default=0.1, gt=0)
    penalty: float = Field(default=0.01, gt=0)
    frequency: float = Field(default=1.0, ge=0, le=1)
    sweeps: int = Field(default=12, ge=1)
    steps: int = Field(default=16, ge=1)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """`factors` [I, d], and what the graph needs of the options."""
    held = _items.baskets(arrays, problem)
    generator = np.random.default_rng(seed)
    factors = generator.normal(scale=0.1 / np.sqrt(options.width), size=(held.shape[1], options.width))
    for _ in range(options.sweeps):
        rows = solve(held, factors, options)
        factors = solve(held.T.tocsr(), rows, options)
    return {
        "factors": factors.astype(np.float32),
        "unheld": np.array(options.unheld, np.float32),
        "penalty": np.array(options.penalty, np.float32),
        "frequency": np.array(options.frequency, np.float32),
        "steps": np.array(options.steps, np.int64),
    }


def solve(held: Any, factors: np.ndarray, options: Options) -> np.ndarray:
    """The factor [d] of each row: (Σ held y yᵀ + α₀ Yᵀ Y + λ) u = Σ held y."""
    width, found = factors.shape[1], np.zeros((held.shape[0], factors.shape[1]))
    gram = options.unheld * factors.T @ factors
    penalties = penalty_of(np.diff(held.indptr), len(factors), options.unheld, options.penalty, options.frequency)
    for row in range(held.shape[0]):
        own = factors[held.indices[held.indptr[row] : held.indptr[row + 1]]]
        if len(own):
            matrix = gram + own.T @ own
            matrix[np.diag_indices(width)] += penalties[row]
            found[row] = np.linalg.solve(matrix, own.sum(0))
    return found


def penalty_of(count: Any, num_items: int, unheld: float, penalty: float, frequency: float) -> Any:
    return penalty * (count + unheld * num_items) ** frequency


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    """Conjugate gradients in `steps` rounds, all rows at once; A p = α₀ Yᵀ Y p + Σ held y (y·p) + λ p."""
    graph, num_items = Graph(), problem.num_outputs
    held = _items.draw_multi_hot(graph, _items.draw_inputs(graph, problem), num_items)
    table = graph.constant(weights["factors"], "float32")
    transposed = graph("Transpose", table, perm=[1, 0])
    gram = graph.constant(weights["unheld"] * weights["factors"].T @ weights["factors"], "float32")
    penalty = draw_penalty(graph, held, weights, num_items)
    tiny = graph.constant(TINY, "float32")

    def dot(a: str, b: str) -> str:
        return str(graph("ReduceSum", graph("Mul", a, b), graph.integers(1), keepdims=1))

    def apply(p: str) -> str:
        own = graph("MatMul", graph("Mul", held, graph("MatMul", p, transposed)), table)
        return str(graph("Sum", graph("MatMul", p, gram), own, graph("Mul", penalty, p)))

    residual = direction = graph("MatMul", held, table)
    factor = graph("Mul", residual, graph.constant(0.0, "float32"))
    size = dot(residual, residual)
    for _ in range(int(weights["steps"])):
        moved = apply(direction)
        length = graph("Div", size, graph("Max", dot(direction, moved), tiny))
        factor = graph("Add", factor, graph("Mul", length, direction))
        residual = graph("Sub", residual, graph("Mul", length, moved))
        after = dot(residual, residual)
        turn = graph("Div", after, graph("Max", size, tiny))
        direction, size = graph("Add", residual, graph("Mul", turn, direction)), after
    graph.output(graph("MatMul", factor, transposed), "outputs", "float32", ["N", num_items])
    return graph.build("ials")


def draw_penalty(graph: Graph, held: str, weights: Mapping[str, np.ndarray], num_items: int) -> str:
    """[N, 1]"""
    count = graph("ReduceSum", held, graph.integers(1), keepdims=1)
    total = graph("Add", count, graph.constant(weights["unheld"] * num_items, "float32"))
    grown = graph("Pow", total, graph.constant(weights["frequency"], "float32"))
    return str(graph("Mul", grown, graph.constant(weights["penalty"], "float32")))
