"""A number input of a graph in, dense units on a common scale out; and what they need to know of training.

A double is worked with throughout, and cast to float32 by the caller.
"""

from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from stages.core.graph import Graph

KNOTS = 33
GRID = 2.0**30
ROUNDING = 1e-12  # a relative spread below this is none: of equal values the rounded one is 1e-16, not 0
SMALLEST, LARGEST = 1e-100, 1e100  # beyond them fitting takes 0 and ±1e100: squares and slopes stay finite


def fit_scale(plain: np.ndarray, scale: str, bins: int) -> dict[str, Any]:
    """`plain`: float64 [N], NaN where missing."""
    present = np.clip(plain[~np.isnan(plain)], -LARGEST, LARGEST)
    present[np.abs(present) < SMALLEST] = 0.0
    low, middle, high = np.quantile(present, [0.001, 0.5, 0.999]) if len(present) else (0.0, 0.0, 0.0)
    state: dict[str, Any] = {"scale": scale, "fill": float(middle), "low": float(low), "high": float(high)}
    state["missing"] = len(present) < len(plain)
    if scale == "piecewise":
        shares = np.linspace(0.0, 1.0, bins + 1)
        return {**state, "edges": np.unique(np.quantile(present, shares) if len(present) else [0.0]).tolist()}
    if scale == "quantile":
        state["knots"], state["scores"] = quantile_knots(present)
    shaped = transform(state, np.where(np.isnan(plain), state["fill"], plain))
    state["mean"] = float(shaped.mean()) if len(shaped) else 0.0
    state["std"] = float(shaped.std()) if len(shaped) else 0.0
    if state["std"] <= ROUNDING * np.abs(shaped).max(initial=0.0):
        state["std"] = 1.0
    return state


def quantile_knots(present: np.ndarray) -> tuple[list[float], list[float]]:
    """Distinct quantiles of the values and their normal scores (ties share their middle score)."""
    shares = np.linspace(0.0, 1.0, KNOTS)
    levels = np.quantile(present, shares) if len(present) else np.zeros(KNOTS)
    knots = np.unique(levels)
    middle = [float(shares[levels == knot].mean()) for knot in knots]
    scores = [NormalDist().inv_cdf(min(max(share, 0.01), 0.99)) for share in middle]
    return knots.tolist(), scores


def transform(state: dict[str, Any], filled: np.ndarray) -> np.ndarray:
    """The numpy form of what `nodes` draws before standardising; used to fit mean and std."""
    clipped = np.clip(filled, state["low"], state["high"])
    if state["scale"] == "log":
        return np.asarray(np.round(np.sign(clipped) * np.log(1.0 + np.abs(clipped)) * GRID) / GRID)
    if state["scale"] == "quantile":
        return np.asarray(np.interp(filled, state["knots"], state["scores"]))
    return np.asarray(clipped)


def draw_scale(graph: Graph, name: str, filled: str, state: dict[str, Any]) -> tuple[str, list[str]]:
    """float64 [N] → float64 [N, units] and the units' names."""
    if state["scale"] == "piecewise":
        return draw_shares(graph, filled, state["edges"]), bin_names(name, state["edges"])
    centred = graph("Sub", draw_transform(graph, state, filled), graph.constant(state["mean"], "float64"))
    return graph.column(graph("Div", centred, graph.constant(state["std"], "float64"))), [name]


def bin_names(name: str, edges: list[float]) -> list[str]:
    return [f"{name}: {low:g} … {high:g}" for low, high in pairwise(edges)] or [name]


def draw_transform(graph: Graph, state: dict[str, Any], filled: str) -> str:
    if state["scale"] == "quantile":
        return draw_interpolation(graph, filled, state["knots"], state["scores"])
    low, high = (graph.constant(state[bound], "float64") for bound in ("low", "high"))
    clipped = str(graph("Clip", filled, low, high))
    if state["scale"] == "standard":
        return clipped
    grown = graph("Add", graph("Abs", clipped), graph.constant(1.0, "float64"))
    return draw_rounded(graph, graph("Mul", graph("Sign", clipped), graph("Log", grown)))


def draw_interpolation(graph: Graph, value: str, knots: list[float], scores: list[float]) -> str:
    """np.interp as a sum over segments: score₀ + Σ clip((x - knot) / width, 0, 1) · rise."""
    if len(knots) < 2:
        return str(graph("Squeeze", draw_shares(graph, value, knots), graph.integers(1)))
    rises = graph("Mul", draw_shares(graph, value, knots), graph.constant(np.diff(scores), "float64"))
    risen = graph("ReduceSum", rises, graph.integers(1), keepdims=0)
    return str(graph("Add", risen, graph.constant(scores[0], "float64")))


def draw_shares(graph: Graph, value: str, edges: list[float]) -> str:
    """[N] → [N, segments]: how much of each segment between edges lies below the value; of one edge, 0."""
    zero, one = graph.constant(0.0, "float64"), graph.constant(1.0, "float64")
    if len(edges) < 2:
        return graph.column(graph("Clip", value, zero, zero))
    bounded = graph("Clip", value, graph.constant(edges[0], "float64"), graph.constant(edges[-1], "float64"))
    along = graph("Sub", graph.column(bounded), graph.constant(edges[:-1], "float64"))
    return str(graph("Clip", graph("Div", along, graph.constant(np.diff(edges), "float64")), zero, one))


def draw_rounded(graph: Graph, value: str) -> str:
    """Rounded to 2⁻³⁰: the last digit of onnxruntime's sine and log depends on the row's place in its batch."""
    grid = graph.constant(GRID, "float64")
    return str(graph("Div", graph("Round", graph("Mul", value, grid)), grid))
