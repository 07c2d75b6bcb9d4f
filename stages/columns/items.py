"""A set or sequence of ids: lists in, numbers of a vocabulary out, in order or in none."""

from collections import Counter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stages.columns._parse import Cleaned, parse_each
from stages.columns._tokens import FIRST, UNKNOWN
from stages.columns.category import most_frequent
from stages.contract.column import BaseColumn, Pattern
from stages.contract.section import Section
from stages.core.arrays import ArraySpec
from stages.core.graph import Graph

LISTS = pa.list_(pa.string())


class Column(BaseColumn):
    """Raw values are lists, JSON lists, or text whose ids `separator` parts.

    `pattern` is a regular expression that each whole id matches. The last `max_items` are kept, so the newest stand
    at the end. In a `set` each id stands once, where it stood last; a `sequence` may repeat them. An empty list is
    a value, and `required` forbids only that there is none.
    """

    type: Literal["items"]
    separator: str | None = Field(default=None, min_length=1)
    pattern: Pattern = None
    order: Literal["sequence", "set"] = "sequence"
    max_items: int = Field(default=256, ge=1)


class Features(Section):
    """`kind`: `tokens` keeps the order, `set` has none; a column's `order` decides where none is declared.

    An id that fewer than `min_count` training rows hold is unknown; at most `max_values` have a number.
    """

    kind: Literal["tokens", "set"] | None = None
    min_count: int = Field(default=1, ge=1)
    max_values: int = Field(default=100_000, ge=1)


def clean(name: str, column: Column, values: pa.Array) -> Cleaned:
    typed, broken = parse_each(column.describe(name), values, list)
    return Cleaned(pa.array(typed, LISTS), dict(sorted(broken.items())))


def expectations(column: Column) -> list[dict[str, Any]]:
    return []


def array(column: Column, values: pa.Array) -> np.ndarray:
    """object (str) [N, W], "" behind the last id; W is at least 1."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
    matrix = np.full((len(values), int(lengths.max(initial=1))), "", object)
    matrix[np.arange(matrix.shape[1]) < lengths[:, None]] = pc.list_flatten(values).to_numpy(zero_copy_only=False)
    return matrix


def input_shape(column: Column) -> tuple[str, list[int | str]]:
    return "string", ["N", "width"]


def fit(column: Column, features: Features, values: pa.Array) -> dict[str, Any]:
    """The ids that most training rows hold first, then by name."""
    kind = features.kind or ("set" if column.order == "set" else "tokens")
    return {"kind": kind, "vocabulary": most_frequent(count_rows(values), features.max_values, features.min_count)}


def count_rows(*lists: pa.Array) -> "Counter[str]":
    """How many rows hold each id, in any of the arrays, which have the same rows."""
    counts: Counter[str] = Counter()
    for row in zip(*(values.to_pylist() for values in lists), strict=True):
        counts.update({word for words in row for word in words or ()})
    return counts


def nodes(graph: Graph, name: str, features: Features, state: dict[str, Any]) -> list[ArraySpec]:
    """0 is padding, 1 unknown, then the vocabulary."""
    words = state["vocabulary"]
    numbers = graph(
        "LabelEncoder", name, domain="ai.onnx.ml", keys_strings=["", *words],
        values_int64s=[0, *range(FIRST, FIRST + len(words))], default_int64=UNKNOWN,
    )  # fmt: skip
    return [ArraySpec(numbers, state["kind"], (name,), FIRST + len(words))]
