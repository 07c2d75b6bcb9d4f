"""Arrays of rows in, an epoch's shuffled batches on the device out.

Rows lie on the device as the small integers that they are. Those that do not fit in memory stay in
their file, mapped: then blocks of neighbouring rows are shuffled, and rows within a window of
blocks, so that a window's pages are read once. Every row comes once an epoch either way.
Shapes: N rows, K rows of a chunk (a few batches, fetched at once), B rows of a batch, W width of a set.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stages.core.arrays import ArraySpec
from stages.training import Arrays

CHUNK_BYTES = BLOCK_BYTES = 1 << 20
WINDOW_SHARE = 0.25  # of the memory limit: the window's pages, and what is made of them


class Batch(NamedTuple):
    """Arrays in the order of the specs. `total` is the sum of the rows' weights, or their number."""

    arrays: list[Tensor]
    truth: Tensor
    weight: Tensor | None
    total: float
    rows: Tensor | None = None  # their numbers, where some are left out


@dataclass(frozen=True)
class Rows:
    """One split: tensors on the device, or arrays mapped from a file. `window` is its number of blocks there.

    `shares` [N] weigh rows in this epoch; those of 0 are left out.
    """

    arrays: Mapping[str, Tensor | np.ndarray]
    device: torch.device
    block: int = 0
    window: int = 0
    shares: Tensor | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def num_live(self) -> int:
        """How many rows an epoch learns from."""
        return len(self) if self.shares is None else int((self.shares > 0).sum())

    @property
    def bytes_a_row(self) -> int:
        return max(1, sum(array.nbytes // max(1, len(array)) for array in self.arrays.values()))

    def take(self, rows_K: Tensor) -> dict[str, Tensor]:
        if not self.window:
            chosen = rows_K.to(self.device)
            tensors = ((name, array) for name, array in self.arrays.items() if isinstance(array, Tensor))
            return {name: tensor.index_select(0, chosen) for name, tensor in tensors}
        order_K = rows_K.numpy()
        ascending, back_K = np.unique(order_K, return_inverse=True)  # pages in the order of the file
        found = {name: np.asarray(array[ascending])[back_K] for name, array in self.arrays.items()}
        return {name: torch.from_numpy(array).to(self.device) for name, array in found.items()}


def rows_of(arrays: Arrays, specs: Sequence[ArraySpec], device: torch.device, memory_limit: int) -> Rows:
    """What the loop needs of a split. Mapped arrays (`np.memmap`) stay where they are."""
    names = [spec.name for spec in specs] + [name for name in ("target", "weight") if name in arrays]
    found = {name: arrays[name] for name in names}
    if not any(isinstance(array, np.memmap) for array in found.values()):
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in found.items()}
        return Rows(tensors, device)
    rows = Rows(found, device)
    block = max(1, BLOCK_BYTES // rows.bytes_a_row)
    return Rows(found, device, block, max(2, int(WINDOW_SHARE * memory_limit) // (block * rows.bytes_a_row)))


def order(rows: Rows, seed: int) -> Iterator[Tensor]:
    """Every row's number once: int64, in windows, or in one where all rows are in memory."""
    generator = torch.Generator().manual_seed(seed)
    num_rows = len(rows)
    if not rows.window:
        yield torch.randperm(num_rows, generator=generator)
        return
    starts = torch.randperm(-(-num_rows // rows.block), generator=generator) * rows.block
    for part in torch.split(starts, rows.window):
        found = torch.cat([torch.arange(start, min(start + rows.block, num_rows)) for start in part.tolist()])
        yield found[torch.randperm(len(found), generator=generator)]


def chunks(rows: Rows, size: int, seed: int) -> Iterator[Tensor]:
    """The epoch's order in pieces of whole batches, but for the last one of all."""
    most = max(1, CHUNK_BYTES // (rows.bytes_a_row * size)) * size
    left = torch.zeros(0, dtype=torch.int64)
    for window in order(rows, seed):
        if rows.shares is not None:
            window = window[rows.shares[window] > 0]
        left = torch.cat([left, window]) if len(left) else window
        whole = len(left) // size * size
        yield from torch.split(left[:whole], most) if whole else ()
        left = left[whole:]
    if len(left):
        yield left


def batches(rows: Rows, specs: Sequence[ArraySpec], size: int, *, seed: int, skip: int = 0) -> Iterator[Batch]:
    """The batches of an epoch, but for its first `skip`. `seed` is the epoch's own."""
    for rows_K in chunks(rows, size, seed):
        num_batches = -(-len(rows_K) // size)
        if skip >= num_batches:
            skip -= num_batches
            continue
        rows_K, skip = rows_K[skip * size :], 0
        parts = torch.split(rows_K, size)
        yield from cut(weighed(rows, rows_K), specs, [len(part) for part in parts])


def weighed(rows: Rows, rows_K: Tensor) -> dict[str, Tensor]:
    """Rows with their weights, and with their numbers where the epoch leaves some out."""
    taken = rows.take(rows_K)
    if rows.shares is not None:
        share_K = rows.shares[rows_K].to(rows.device)
        taken["weight"] = taken["weight"] * share_K if "weight" in taken else share_K
        taken["rows"] = rows_K
    return taken


def cut(taken: Mapping[str, Tensor], specs: Sequence[ArraySpec], sizes: list[int]) -> Iterator[Batch]:
    """A chunk as its batches: views, made without asking the device once a batch."""
    columns = split_columns(taken, specs, sizes)
    truths = torch.split(taken["target"], sizes)
    if "weight" not in taken:
        for arrays, truth, size in zip(columns, truths, sizes, strict=True):
            yield Batch(arrays, truth, None, float(size))
        return
    weights = torch.split(taken["weight"], sizes)
    totals = torch.stack([weight.sum() for weight in weights]).tolist()
    numbers = torch.split(taken["rows"], sizes) if "rows" in taken else [None] * len(sizes)
    for arrays, truth, weight, total, rows in zip(columns, truths, weights, totals, numbers, strict=True):
        yield Batch(arrays, truth, weight, total, rows)


def split_columns(taken: Mapping[str, Tensor], specs: Sequence[ArraySpec], sizes: list[int]) -> list[list[Tensor]]:
    """Each batch's arrays in the order of the specs; sets and tokens are cut to the longest of the batch."""
    columns = []
    for spec in specs:
        parts = list(torch.split(taken[spec.name], sizes))
        if spec.kind in ("set", "tokens"):
            parts = [trim(part, most) for part, most in zip(parts, longest(taken[spec.name], sizes), strict=True)]
        columns.append(parts)
    return [list(arrays) for arrays in zip(*columns, strict=True)]


def longest(ids_KW: Tensor, sizes: list[int]) -> list[int]:
    """The most live entries of a row of each batch."""
    counts = torch.split((ids_KW > 0).sum(1), sizes)
    return [int(most) for most in torch.stack([part.max() if len(part) else part.sum() for part in counts]).tolist()]


def trim(ids_BW: Tensor, most: int) -> Tensor:
    """Drop columns of padding; words and pairs interleave, so a live id may stand one place later."""
    return ids_BW[:, : most + 1]


def in_turn(rows: Rows, specs: Sequence[ArraySpec], size: int) -> Iterator[list[Tensor]]:
    """Batches of all rows in their own order, for predictions."""
    for start in range(0, len(rows), size):
        found = {spec.name: rows.arrays[spec.name][start : start + size] for spec in specs}
        tensors = {name: torch.as_tensor(array, device=rows.device) for name, array in found.items()}
        yield from split_columns(tensors, specs, [min(size, len(rows) - start)])
