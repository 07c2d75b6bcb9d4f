"""Named arrays in, one safetensors file out, and back."""

import json
from pathlib import Path

import numpy as np

DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4",
    "F64": "<f8",
}  # fmt: skip


def write_tensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays in the order of their names. Indexes that fit are kept as 32-bit integers."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(shrink(name, array)) for name, array in sorted(arrays.items())}, path)


def shrink(name: str, array: np.ndarray) -> np.ndarray:
    return array.astype(np.int32) if name.startswith("encoded.") and array.dtype == np.int64 else array


def map_tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file as memory maps: pages are read when they are looked at."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, start = DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"][0]
        # copy on write: torch asks for memory that may be written to, and the file stays as it is
        arrays[name] = (
            np.memmap(path, dtype, "c", 8 + size + start, shape) if np.prod(shape) else np.zeros(shape, dtype)
        )
    return arrays


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    with path.open("rb") as file:
        return dict(load(file.read()))
