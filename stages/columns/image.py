"""Pictures: files or pixels in, uint8 of one declared size out; an image array, channels first."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from serving.prepare import to_array
from stages.columns._parse import Cleaned, parse_distinct
from stages.contract.column import BaseColumn
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph


class Column(BaseColumn):
    """Pictures are decoded, converted to 1 (grey) or 3 (RGB) channels and scaled to this size."""

    type: Literal["image"]
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3] = 3


class Features(Section):
    """An image has no options."""


def num_bytes(column: Column) -> int:
    return column.height * column.width * column.channels


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    """A fixed-size binary column holds pixels (ingest made it from IDX); any other, picture files."""
    if not pa.types.is_fixed_size_binary(values.type):
        return parse_distinct(
            column.describe(name), values, pa.binary(num_bytes(column)), lambda pixels: pixels.tobytes()
        )
    wrong_size = values.type.byte_width != num_bytes(column)
    absent = np.asarray(values.is_null())
    broken = {
        "image": ~absent if wrong_size else np.zeros_like(absent),
        "required": absent if column.required else np.zeros_like(absent),
    }
    sound = pa.nulls(len(values), pa.binary(num_bytes(column))) if wrong_size else values
    return Cleaned(sound, {rule: mask for rule, mask in broken.items() if mask.any()})


def expectations(column: Column) -> list[dict[str, Any]]:
    return [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"min_value": num_bytes(column), "max_value": num_bytes(column)},
        }
    ]


def visible(column: Column, values: pa.Array) -> pa.Array:
    """What expectations see of a picture: its number of bytes, since pixels are no table value."""
    return pc.binary_length(values)


def array(column: Column, values: pa.Array) -> np.ndarray:
    """uint8 [N, H, W, C]; black where missing."""
    shape = (len(values), column.height, column.width, column.channels)
    if values.null_count == 0 and len(values):
        start = values.offset * num_bytes(column)
        pixels = np.frombuffer(values.buffers()[1], np.uint8)[start : start + int(np.prod(shape))]
        return pixels.reshape(shape)
    rows = [None if raw is None else np.frombuffer(raw, np.uint8).reshape(shape[1:]) for raw in values.to_pylist()]
    return to_array(column.describe(""), rows)


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "uint8", ["N", column.height, column.width, column.channels]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    """Each channel's mean and standard deviation of the training pixels / 255, from exact integer counts.

    A missing picture is black, and not counted.
    """
    pixels = array(column, values.drop_null())
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(column.channels):
        counts = np.bincount(pixels[..., channel].ravel(), minlength=256).astype(np.float64)
        total = max(counts.sum(), 1.0)
        mean = float((counts * levels).sum() / total)
        several = np.count_nonzero(counts) > 1  # of one level the rounded spread is 1e-17, not 0
        means.append(mean)
        stds.append(float(np.sqrt((counts * (levels - mean) ** 2).sum() / total)) if several else 1.0)
    return {"mean": means, "std": stds, "shape": [column.channels, column.height, column.width]}


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    value = graph("Transpose", name, perm=[0, 3, 1, 2])
    shape, mean, std = (tuple(state[key]) for key in ("shape", "mean", "std"))
    return [ArraySpec(value, "image", (name,), int(np.prod(shape)), shape, mean, std)]
