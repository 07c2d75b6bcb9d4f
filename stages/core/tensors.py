"""Named arrays in, one safetensors file out, and back."""

from pathlib import Path

import numpy as np


def write_tensors(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays in the order of their names. Indexes that fit are kept as 32-bit integers."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(shrink(name, array)) for name, array in sorted(arrays.items())}, path)


def shrink(name: str, array: np.ndarray) -> np.ndarray:
    return array.astype(np.int32) if name.startswith("encoded.") and array.dtype == np.int64 else array


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    with path.open("rb") as file:
        return dict(load(file.read()))
