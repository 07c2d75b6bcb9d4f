"""A picture in, histograms of its oriented gradients out, as ONNX nodes (Dalal & Triggs 2005).

The same numbers in the same order as `skimage.feature.hog(block_norm="L2-Hys")`. Shapes: N rows, C channels, H height,
W width, O orientations, R and S rows and columns of cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.arrays import ArraySpec
from stages.core.graph import FLOAT, Graph

CELLS_A_SIDE = 12
LEAST_CELL = 4  # pixels
EPSILON = 1e-5
CLIP = 0.2


@dataclass(frozen=True)
class Grid:
    """Pixels of a cell and cells of a block, down and across."""

    orientations: int
    cell: tuple[int, int]
    block: tuple[int, int]
    cells: tuple[int, int]

    @property
    def num_blocks(self) -> tuple[int, int]:
        return self.cells[0] - self.block[0] + 1, self.cells[1] - self.block[1] + 1

    @property
    def size(self) -> int:
        """How many numbers describe a picture."""
        return int(np.prod(self.num_blocks) * np.prod(self.block)) * self.orientations


def grid_of(spec: ArraySpec, orientations: int, cell: int | None, block: int) -> Grid:
    """Cells of 4 pixels and more, at most about 12 a side, unless the side of a cell is declared."""
    sides = spec.shape[1:]
    pixels = [min(side, cell or max(LEAST_CELL, round(side / CELLS_A_SIDE))) for side in sides]
    cells = [side // of for side, of in zip(sides, pixels, strict=True)]
    blocks = [min(block, count) for count in cells]
    return Grid(orientations, (pixels[0], pixels[1]), (blocks[0], blocks[1]), (cells[0], cells[1]))


def draw_hog(graph: Graph, image: str, grid: Grid) -> str:
    """uint8 [N, C, H, W] → float [N, grid.size]"""
    pixels = graph.cast(image, FLOAT)
    down, across, strength = strongest(graph, difference(graph, pixels, 2), difference(graph, pixels, 3))
    cells = graph("Mul", bins(graph, down, across, grid.orientations), strength)
    high, wide = (count * side for count, side in zip(grid.cells, grid.cell, strict=True))
    whole = graph.slice(graph.slice(cells, 0, high, 2), 0, wide, 3)
    cells = graph("AveragePool", whole, kernel_shape=grid.cell, strides=grid.cell)
    return str(graph("Flatten", normalised(graph, cells, grid)))


def difference(graph: Graph, pixels: str, axis: int) -> str:
    """The next pixel less the one before, along an axis; 0 at the borders."""
    after, before = graph.slice(pixels, 2, 2**31, axis), graph.slice(pixels, 0, -2, axis)
    pads = np.zeros((2, 4), np.int64)
    pads[:, axis] = 1
    return str(graph("Pad", graph("Sub", after, before), graph.integers(*pads.ravel().tolist())))


def strongest(graph: Graph, down: str, across: str) -> Sequence[str]:
    """Down, across and length [N, 1, H, W] of the gradient of the channel where it is longest."""
    length = graph("Sqrt", graph("Add", graph("Mul", down, down), graph("Mul", across, across)))
    which = graph("ArgMax", length, axis=1, keepdims=1)
    return [str(graph("GatherElements", values, which, axis=1)) for values in (down, across, length)]


def bins(graph: Graph, down: str, across: str, orientations: int) -> str:
    """[N, O, H, W]: 1 where a gradient, turned into the upper half plane, lies between two directions.

    Past a direction is where the cross product with it is not negative: no arc tangent, no rounding at 0° and 90°.
    """
    zero = graph.constant(0.0, "float32")
    level = graph("And", graph("Equal", down, zero), graph("Less", across, zero))
    turn = graph("Or", graph("Less", down, zero), level)
    sign = graph("Where", turn, graph.constant(-1.0, "float32"), graph.constant(1.0, "float32"))
    angles = np.pi * np.arange(orientations) / orientations
    cosines, sines = (np.round(values, 12)[:, None, None] for values in (np.cos(angles), np.sin(angles)))
    ahead = graph("Mul", graph("Mul", down, sign), graph.constant(cosines, "float32"))
    aside = graph("Mul", graph("Mul", across, sign), graph.constant(sines, "float32"))
    past = graph.cast(graph("GreaterOrEqual", ahead, aside), FLOAT)
    following = graph("Pad", graph.slice(past, 1, 2**31, 1), graph.integers(0, 0, 0, 0, 0, 1, 0, 0))
    return str(graph("Sub", past, following))


def normalised(graph: Graph, cells: str, grid: Grid) -> str:
    """Cells [N, O, R, S] → blocks [N, rows, columns, cells of a block, O], each of length 1, clipped, and again."""
    parts = []
    for row in range(grid.block[0]):
        for column in range(grid.block[1]):
            rows = graph.slice(cells, row, row + grid.num_blocks[0], 2)
            parts.append(
                graph("Unsqueeze", graph.slice(rows, column, column + grid.num_blocks[1], 3), graph.integers(1))
            )
    blocks = graph("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    clipped = graph("Min", unit(graph, blocks), graph.constant(CLIP, "float32"))
    return str(graph("Transpose", unit(graph, clipped), perm=[0, 3, 4, 1, 2]))


def unit(graph: Graph, blocks: str) -> str:
    """Divided by the root of the summed squares of a block."""
    squares = graph("ReduceSumSquare", blocks, graph.integers(1, 2), keepdims=1)
    return str(graph("Div", blocks, graph("Sqrt", graph("Add", squares, graph.constant(EPSILON**2, "float32")))))
