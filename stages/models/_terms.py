"""One encoded array in; its columns in a linear model, and their share of the outputs as ONNX, out.

Dense units enter as they are, an index as one-hot, a set or tokens as counts / √total, pictures and waves as
standardised pixels.
"""

from typing import Any

import numpy as np

from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph
from stages.models._solver import Columns

PICTURES = ("image", "wave")
SETS = ("set", "tokens")


def columns(spec: ArraySpec, array: np.ndarray) -> Columns:
    """Rows → float32 [R, size]."""
    if spec.kind == "dense":
        return lambda rows: np.asarray(array[rows], np.float32)
    if spec.kind in PICTURES:
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (spec.mean, spec.std))
        shift, scale = mean / std, 1 / (255 * std)
        return lambda rows: (array[rows] * scale - shift).reshape(len(array[rows]), -1)
    once = np.ones(spec.size, np.float32)
    if spec.kind == "index":
        return sparse(array[:, None], np.ones((len(array), 1), bool), np.ones(len(array)), once)
    live = array > 0
    return sparse(array, live, 1.0 / np.sqrt(np.maximum(live.sum(1), 1)), once)


def sparse(entries_NW: np.ndarray, live_NW: np.ndarray, scale_N: np.ndarray, of_entry: np.ndarray) -> Columns:
    """Each live entry counts `scale` of its row times `of_entry` [size], in a compressed sparse matrix."""
    from scipy.sparse import csr_array

    counts_N, entries = live_NW.sum(1), entries_NW[live_NW].astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(counts_N)])
    values = (np.repeat(scale_N, counts_N) * of_entry[entries]).astype(np.float32)
    matrix = csr_array((values, entries, starts), shape=(len(entries_NW), len(of_entry)))
    return lambda rows: matrix[rows]


def draw_term(graph: Graph, spec: ArraySpec, name: str, weight_DC: np.ndarray) -> str:
    """One array's share of the outputs, [N, C]."""
    if spec.kind in SETS:
        weight_DC = np.concatenate([0 * weight_DC[:1], weight_DC[1:]])  # padding adds nothing
    table = graph.constant(weight_DC, "float32")
    if spec.kind == "dense":
        return str(graph("MatMul", name, table))
    if spec.kind == "index":
        return str(graph("Gather", table, name))
    if spec.kind in PICTURES:
        pixels = graph("Div", graph.cast(name, FLOAT), graph.constant(255.0, "float32"))
        mean, std = (graph.constant(np.array(v)[:, None, None], "float32") for v in (spec.mean, spec.std))
        flat = graph("Flatten", graph("Div", graph("Sub", pixels, mean), std))
        return str(graph("MatMul", flat, table))
    summed = graph("ReduceSum", graph("Gather", table, name), graph.integers(1), keepdims=0)
    live = graph.cast(graph("Greater", name, graph.constant(0, "int64")), FLOAT)
    count = graph("Max", graph("ReduceSum", live, graph.integers(1), keepdims=1), graph.constant(1.0, "float32"))
    return str(graph("Div", summed, graph("Sqrt", count)))


def draw_sum(graph: Graph, terms: list[str], bias: np.ndarray) -> Any:
    """The terms and the bias as `outputs`."""
    total = graph.constant(bias, "float32")
    for term in terms:
        total = graph("Add", term, total)
    graph.output(total, "outputs", "float32", ["N", len(bias)])
