"""Pictures or waves in, a linear support vector machine over histograms of oriented gradients out.

The histograms are drawn as ONNX, and the fit learns from what that very graph makes of the training rows. Other arrays
enter as in `linear`. Each class against the rest, with the squared hinge loss; outputs are margins.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph, run
from stages.core.problem import Problem
from stages.models import _solver as solver
from stages.models import _terms as terms
from stages.models._classes import fit_classes
from stages.models._gradients import Grid, draw_hog, grid_of

SUITS = ("dense", "index", "set", "tokens", "image", "wave")
NEEDS = ("image", "wave")
TARGETS = ("category",)
GRID = "grid."
BATCH_PIXELS = 1_000_000


class Options(Section):
    """`strength` is the inverse of the L2 penalty. `cell`: pixels of a cell's side; `block`: cells of a block's."""

    strength: float = Field(default=0.1, gt=0)
    max_iterations: int = Field(default=200, ge=1)
    orientations: int = Field(default=9, ge=1)
    cell: int | None = Field(default=None, ge=1)
    block: int = Field(default=2, ge=1)


def fit(arrays: Mapping[str, np.ndarray], problem: Problem, options: Options, *, seed: int) -> dict[str, np.ndarray]:
    """A table [size, C] for each array, a bias [C], and how each picture is divided."""
    columns, grids = [], {}
    for spec in problem.specs:
        if spec.kind in terms.PICTURES:
            grid = grid_of(spec, options.orientations, options.cell, options.block)
            grids[GRID + spec.name] = np.array([grid.orientations, *grid.cell, *grid.block, *grid.cells])
            columns.append(rows_of(histograms(arrays[spec.name], spec, grid)))
        else:
            columns.append(terms.columns(spec, arrays[spec.name]))
    penalty = solver.Penalty(options.strength, options.max_iterations)
    return fit_classes(columns, arrays, problem, penalty, loss=solver.squared_hinge) | grids


def histograms(pictures: np.ndarray, spec: ArraySpec, grid: Grid) -> np.ndarray:
    """float32 [N, grid.size], made by the graph that `draw` draws."""
    graph = Graph()
    found = draw_hog(graph, graph.input(spec.name, spec.dtype, spec.dims), grid)
    graph.output(found, "histograms", "float32", ["N", grid.size])
    rows = max(1, min(256, BATCH_PIXELS // spec.size))  # a batch holds nine floats a pixel, several times over
    return run(graph.build("histograms"), {spec.name: pictures}, batch_size=rows)["histograms"]


def rows_of(matrix: np.ndarray) -> solver.Columns:
    return lambda rows: matrix[rows]


def draw(weights: Mapping[str, np.ndarray], problem: Problem) -> Any:
    graph = Graph()
    parts = []
    for spec in problem.specs:
        name = graph.input(spec.name, spec.dtype, spec.dims)
        if spec.kind in terms.PICTURES:
            kept = weights[GRID + spec.name].tolist()
            grid = Grid(kept[0], (kept[1], kept[2]), (kept[3], kept[4]), (kept[5], kept[6]))
            found = draw_hog(graph, name, grid)
            parts.append(graph("MatMul", found, graph.constant(weights[spec.name], "float32")))
        else:
            parts.append(terms.draw_term(graph, spec, name, weights[spec.name]))
    terms.draw_sum(graph, parts, weights["bias"])
    return graph.build("hog")
