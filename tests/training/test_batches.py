"""The epoch's order and its batches: every row once, in memory or mapped from a file, whole or gone on with."""

from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.arrays import ArraySpec
from stages.core.tensors import map_tensors, read_tensors, write_tensors
from stages.training import batches as module
from stages.training.batches import batches, in_turn, rows_of

CPU = torch.device("cpu")
DENSE = ArraySpec("encoded.dense", "dense", ("a", "b"), 2)
SET = ArraySpec("encoded.set_1", "set", ("c",), 100)


def arrays(num_rows, weight=False):
    """Row i holds i, 2i and a set of i % 4 entries."""
    numbers = np.arange(num_rows)
    found = {
        "encoded.dense": np.stack([numbers, 2 * numbers], 1).astype(np.float32),
        "encoded.set_1": np.where(np.arange(6) < (numbers % 4)[:, None], 7, 0).astype(np.int32),
        "target": numbers.astype(np.int64),
    }
    return {**found, "weight": (numbers % 3).astype(np.float32)} if weight else found


def mapped(num_rows, folder, **options):
    path = folder / "rows.safetensors"
    write_tensors(path, arrays(num_rows, **options))
    return map_tensors(path)


def seen(found):
    return [batch.truth.tolist() for batch in found]


@settings(max_examples=40, deadline=None)
@given(num_rows=st.integers(1, 200), size=st.integers(2, 40), seed=st.integers(0, 2**32 - 1))
def test_every_row_comes_once_an_epoch_in_batches_of_one_size_but_the_last(num_rows, size, seed):
    rows = rows_of(arrays(num_rows), [DENSE, SET], CPU, 1 << 30)
    found = list(batches(rows, [DENSE, SET], size, seed=seed))
    assert sorted(chain.from_iterable(seen(found))) == list(range(num_rows))
    whole, left = divmod(num_rows, size)
    assert [len(batch.truth) for batch in found] == [size] * whole + [left] * (left > 0)
    for batch in found:
        assert torch.equal(batch.arrays[0], torch.stack([batch.truth, 2 * batch.truth], 1).float())
        assert torch.equal((batch.arrays[1] > 0).sum(1), batch.truth % 4)
        assert batch.total == len(batch.truth)


@pytest.mark.parametrize(("num_rows", "size", "block"), [(1000, 16, 10), (997, 50, 7), (30, 64, 10), (64, 64, 1)])
def test_every_row_comes_once_an_epoch_from_a_mapped_file(num_rows, size, block, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", block * 40)
    rows = rows_of(mapped(num_rows, tmp_path), [DENSE, SET], CPU, 4 * 3 * block * 40)
    assert (rows.block, rows.window) == (block, 3)
    first, second = (seen(batches(rows, [DENSE, SET], size, seed=seed)) for seed in (1, 2))
    assert sorted(chain.from_iterable(first)) == sorted(chain.from_iterable(second)) == list(range(num_rows))
    assert first != second
    assert first == seen(batches(rows, [DENSE, SET], size, seed=1))
    assert [len(batch) for batch in first][:-1] == [size] * (len(first) - 1)
    for batch in batches(rows, [DENSE, SET], size, seed=1):
        assert torch.equal(batch.arrays[0], torch.stack([batch.truth, 2 * batch.truth], 1).float())


def test_a_mapped_epoch_mixes_blocks_and_rows_but_keeps_to_a_window_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 10 * 40)
    rows = rows_of(mapped(1000, tmp_path), [DENSE, SET], CPU, 4 * 5 * 10 * 40)
    order = list(chain.from_iterable(seen(batches(rows, [DENSE, SET], 50, seed=3))))
    windows = [order[start : start + 50] for start in range(0, 1000, 50)]
    assert all(len({row // 10 for row in window}) == 5 for window in windows), "five blocks of ten rows a window"
    assert sum(abs(a - b) == 1 for a, b in pairwise(order)) < 200, "rows of a block are apart"
    assert max(window[0] for window in windows[:5]) > 500, "blocks come from anywhere in the file"


@pytest.mark.parametrize("skip", [0, 1, 3, 62, 63])
def test_an_epoch_goes_on_after_any_batch(skip, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 5 * 16 * 40)
    monkeypatch.setattr(module, "BLOCK_BYTES", 10 * 40)
    for found in (arrays(1000), mapped(1000, tmp_path)):
        rows = rows_of(found, [DENSE, SET], CPU, 1 << 12)
        whole = seen(batches(rows, [DENSE, SET], 16, seed=5))
        assert seen(batches(rows, [DENSE, SET], 16, seed=5, skip=skip)) == whole[skip:]


def test_a_batch_weighs_what_its_rows_weigh():
    rows = rows_of(arrays(50, weight=True), [DENSE, SET], CPU, 1 << 30)
    for batch in batches(rows, [DENSE, SET], 8, seed=0):
        assert torch.equal(batch.weight, batch.truth % 3)
        assert batch.total == float((batch.truth % 3).sum())


def test_sets_are_cut_to_the_longest_of_their_batch_and_one_more():
    rows = rows_of(arrays(40), [DENSE, SET], CPU, 1 << 30)
    for batch in batches(rows, [DENSE, SET], 3, seed=0):
        assert batch.arrays[1].shape[1] == int((batch.truth % 4).max()) + 1
    widths = [arrays[1].shape[1] for arrays in in_turn(rows, [DENSE, SET], 2)]
    assert widths == [2, 4] * 10


def test_mapped_arrays_are_those_of_the_file_and_leave_it_as_it_is(tmp_path):
    path = tmp_path / "all.safetensors"
    types = [np.uint8, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64, np.bool_]
    written = {np.dtype(kind).name: np.arange(12).reshape(3, 4).astype(kind) for kind in types}
    write_tensors(path, {**written, "empty": np.zeros((0, 5), np.float32)})
    before, read = path.read_bytes(), map_tensors(path)
    assert isinstance(read["uint8"], np.memmap)
    for name, array in read_tensors(path).items():
        np.testing.assert_array_equal(read[name], array)
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
    torch.from_numpy(read["float32"]).zero_()
    assert path.read_bytes() == before
