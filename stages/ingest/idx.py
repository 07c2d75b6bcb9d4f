"""IDX files (images and labels, plain or gzipped) in, records out: pixels, label, official split."""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from stages.contract.section import Section
from stages.core.errors import DataError
from stages.ingest import Batch, Raw, number_records
from stages.ingest._parts import Unit

UNSIGNED_BYTE = 0x08
MAX_BYTES = 4 << 30


class Options(Section):
    """`splits` names, for each split, the file of every column: {train: {image: a.gz, label: b.gz}}."""

    format: Literal["idx"]
    splits: dict[str, dict[str, str]]


def units(raw: Raw, options: Options) -> list[Unit]:
    """The files of one split belong together."""
    return [tuple(files.values()) for files in options.splits.values()]


def read(raw: Raw, names: Sequence[str], options: Options) -> Iterator[Batch]:
    for split, files in options.splits.items():
        if not set(files.values()) & set(names):
            continue
        columns = {column: to_arrow(read_idx(raw.folder / name)) for column, name in files.items()}
        lengths = {name: len(columns[column]) for column, name in files.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(
                f"files of the split {split!r} differ in length: {lengths}. They must describe the same items."
            )
        table = pa.table({**columns, "split": pa.array([split] * next(iter(lengths.values())), pa.string())})
        yield Batch(number_records(table, next(iter(files.values())), np.arange(1, table.num_rows + 1)))


def read_idx(path: Path) -> np.ndarray:
    """One IDX file as an array. Format: 0, 0, type, rank; big-endian sizes; then the values."""
    if not path.exists():
        present = ", ".join(sorted(item.name for item in path.parent.iterdir()))
        raise DataError(f"{path} does not exist; ingest.splits names it. Present: {present}")
    try:
        with path.open("rb") as file:
            stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is cut off or not gzip: {error}. Fetch it again.") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes: it begins with {content[:4].hex(' ')}; expected 00 00 08 …"
        )
    rank = content[3]
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank]) if len(content) >= 4 + 4 * rank else (-1,)
    values = np.frombuffer(content, np.uint8, offset=min(4 + 4 * rank, len(content)))
    if math.prod(shape) != len(values):
        raise DataError(
            f"{path} promises {' × '.join(map(str, shape))} values and holds {len(values)}. It is cut off: fetch it "
            "again."
        )
    return values.reshape(shape)


def to_arrow(array: np.ndarray) -> pa.Array:
    """[N] → text of the number; [N, …] → the item's bytes, fixed size."""
    if array.ndim == 1:
        return pa.array([str(value) for value in array.tolist()], pa.string())
    width = int(np.prod(array.shape[1:]))
    buffers = [None, pa.py_buffer(np.ascontiguousarray(array))]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(array), buffers)
